"""Ratios, shares and their intervals are those of simulated samples."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.estimating.figures import UNKNOWN, Interval, ratio, rounds, share

UNITS = st.lists(st.tuples(st.integers(1, 9_000), st.floats(0.01, 90)), min_size=1, max_size=30)


@given(units=UNITS)
def test_a_ratio_is_that_of_the_sums_and_lies_in_its_interval(units: list[tuple[int, float]]) -> None:
    tokens, seconds = [unit[0] for unit in units], [unit[1] for unit in units]
    found = ratio(seconds, tokens)
    assert found.value == pytest.approx(sum(seconds) / sum(tokens))
    assert 0 < found.low <= found.value <= found.high
    everything = ratio(seconds, tokens, sum(tokens))
    assert everything.low == everything.value == everything.high


def test_an_interval_of_95_percent_holds_the_truth_in_about_95_of_100_samples() -> None:
    random = np.random.default_rng(5)
    tokens = random.integers(2_000, 60_000, 4_000)
    seconds = tokens * 0.001 * random.lognormal(0, 0.2, len(tokens))
    truth = seconds.sum() / tokens.sum()
    held = 0
    for _ in range(1_000):
        chosen = random.choice(len(tokens), 12, replace=False)
        found = ratio(list(seconds[chosen]), list(tokens[chosen]), float(tokens.sum()))
        held += found.low <= truth <= found.high
    assert 915 <= held <= 985


def test_one_unit_alone_tells_nothing_of_the_error_and_no_unit_tells_nothing() -> None:
    found = ratio([2.0], [100])
    assert found.value == 0.02
    assert found.high == pytest.approx(0.02 * (1 + UNKNOWN))
    assert ratio([], []) == ratio([1.0], [0]) == ratio([0.0, 0.0], [3, 4]) == Interval(0.0, 0.0, 0.0)


@pytest.mark.parametrize("count", [0, 1, 50, 999, 1_000])
def test_a_share_has_wilsons_interval(count: int) -> None:
    found = share(count, 1_000, 10**12)
    expected = scipy.stats.binomtest(count, 1_000).proportion_ci(method="wilson")
    assert found.value == count / 1_000
    assert found.low == pytest.approx(expected.low, abs=1e-6)
    assert found.high == pytest.approx(expected.high, abs=1e-6)


def test_a_share_of_all_rows_is_exact_and_of_no_rows_unknown() -> None:
    assert share(3, 10, 10) == Interval(0.3, 0.3, 0.3)
    assert share(0, 0, 10) == Interval(0.0, 0.0, 1.0)


def test_sums_rates_and_multiples_keep_value_and_order() -> None:
    one, other = Interval.of(10, 0.3), Interval.of(20, 0.1)
    total = one + other
    assert total.value == 30
    assert 30 - (10 - one.low) - (20 - other.low) < total.low < 30 < total.high < one.high + other.high
    assert one.inverse(100) == Interval(10, 100 / one.high, 100 / one.low)
    assert one.scaled(2).to_json() == {"value": 20, "low": pytest.approx(15.3846), "high": 26}
    assert Interval(0, 0, 0).inverse().value == math.inf


def test_whole_slices_take_whole_rounds() -> None:
    assert [rounds(slices, 4) for slices in (1, 4, 5, 8, 4_000)] == [4, 1, 1.6, 1, 1]
    assert rounds(0, 4) == 1
