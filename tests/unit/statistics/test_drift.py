"""Drift is what an independent computation gives, raises no alarm without a change, and finds real changes."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from pipeline_lib.statistics.bins import PROBABILITIES
from pipeline_lib.statistics.drift.measures import MIN_REFERENCE_ROWS, MIN_ROWS, measured_drift
from pipeline_lib.statistics.drift.proportions import (
    certain_difference,
    critical_value,
    newcombe_interval,
    wilson_interval,
)
from pipeline_lib.statistics.drift.stability_index import design_effect, raw_index, stability_index
from pipeline_lib.statistics.drift.verdicts import DriftLimits, Measure, Verdict, worst
from pipeline_lib.statistics.row_statistics import RowStatistics
from tests.unit.statistics.made_rows import night, rows_of

COUNTS = st.lists(st.integers(0, 10_000), min_size=2, max_size=12).filter(any)
LIMITS = DriftLimits()


@given(pairs=st.lists(st.tuples(st.integers(0, 9999), st.integers(0, 9999)), min_size=2, max_size=12))
def test_the_index_is_that_of_relative_entropies(pairs: list[tuple[int, int]]) -> None:
    one, other = np.array(pairs, np.int64).T
    p, q = (one + 0.5) / (one + 0.5).sum(), (other + 0.5) / (other + 0.5).sum()
    expected = special.rel_entr(p, q).sum() + special.rel_entr(q, p).sum()
    assert raw_index(one, other) == pytest.approx(expected, abs=1e-12)
    assert raw_index(other, one) == pytest.approx(expected, abs=1e-12)


@given(
    pairs=st.lists(st.tuples(st.integers(1, 9999), st.integers(1, 9999)), min_size=2, max_size=12),
    effect=st.floats(1, 50),
)
def test_the_lower_bound_has_the_moments_of_a_noncentral_chi_square(
    pairs: list[tuple[int, int]], effect: float
) -> None:
    one, other = np.array(pairs, np.int64).T
    found = stability_index(one, other, effect)
    scale, free = effect * (1 / one.sum() + 1 / other.sum()), len(one) - 1
    unchanged = stats.chi2(free, scale=scale)
    assert found.adjusted == pytest.approx(max(0.0, found.index - unchanged.mean()), abs=1e-12)
    changed = stats.ncx2(free, found.adjusted / scale, scale=scale)
    assert found.lower_bound == pytest.approx(found.adjusted - 2.33 * changed.std(), rel=1e-9, abs=1e-12)


def test_the_mean_of_the_index_without_a_change_is_what_is_subtracted() -> None:
    random = np.random.default_rng(1)
    draws = random.multinomial(2000, np.full(10, 0.1), (2, 3000))
    found = [stability_index(one, other) for one, other in zip(*draws, strict=True)]
    assert np.mean([of.index for of in found]) == pytest.approx(9 * (1 / 2000 + 1 / 2000), rel=0.05)
    assert np.mean([of.lower_bound > 0 for of in found]) < 0.02


@given(count=st.integers(0, 500), more=st.integers(1, 500), other=st.integers(0, 500), most=st.integers(1, 500))
def test_intervals_of_shares_are_those_of_scipy(count: int, more: int, other: int, most: int) -> None:
    rows, others = count + more, other + most
    z = critical_value()
    intervals = [
        stats.binomtest(successes, trials).proportion_ci(0.99, "wilson")
        for successes, trials in ((count, rows), (other, others))
    ]
    for share, trials, expected in zip((count / rows, other / others), (rows, others), intervals, strict=True):
        assert wilson_interval(share, trials, z) == pytest.approx((expected.low, expected.high), abs=1e-9)
    one, two = intervals
    p, q = count / rows, other / others
    low = p - q - np.sqrt((p - one.low) ** 2 + (two.high - q) ** 2)
    high = p - q + np.sqrt((one.high - p) ** 2 + (q - two.low) ** 2)
    assert newcombe_interval(p, rows, q, others, z) == pytest.approx((low, high), abs=1e-9)
    assert certain_difference(p, rows, q, others, z) == pytest.approx(max(0, low, -high), abs=1e-9)


def test_the_interval_of_a_difference_is_that_of_newcombes_paper() -> None:
    # Example (a) of table II: 56 of 70 and 48 of 80, at 95%.
    found = newcombe_interval(56 / 70, 70, 48 / 80, 80, critical_value(confidence=0.95))
    assert [round(end, 4) for end in found] == [0.0524, 0.3339]


@pytest.mark.parametrize("comparisons", [1, 2, 5, 1000])
def test_several_comparisons_have_wider_intervals(comparisons: int) -> None:
    assert critical_value(comparisons) == pytest.approx(stats.norm.isf(0.005 / comparisons), rel=1e-9)


@given(samples=st.lists(COUNTS, min_size=1, max_size=5), bins=st.integers(2, 12))
def test_a_design_effect_is_never_below_that_of_random_samples(samples: list[list[int]], bins: int) -> None:
    padded = [np.array([*sample, *([0] * 12)][:bins], np.int64) for sample in samples]
    assert design_effect(padded) >= 1
    assert design_effect([*padded, np.zeros(bins, np.int64)]) == design_effect(padded)


def test_a_design_effect_is_the_variance_of_nights_over_that_of_samples() -> None:
    random = np.random.default_rng(2)
    shares = np.full(10, 0.1)
    alike = [design_effect(list(random.multinomial(5000, shares, 7))) for _ in range(200)]
    # Dirichlet-multinomial nights have a variance (rows + a) / (1 + a) times that of samples: here 5.99.
    differing = [
        design_effect([random.multinomial(5000, random.dirichlet(shares * 1001)) for _ in range(7)])
        for _ in range(200)
    ]
    assert np.mean(alike) == pytest.approx(1.05, abs=0.08)
    assert np.mean(differing) == pytest.approx(5.99, rel=0.12)


def test_too_few_rows_are_not_evaluated() -> None:
    enough, reference = night(MIN_ROWS, 1), night(MIN_REFERENCE_ROWS, 2)
    assert worst(measured_drift(enough, [reference], LIMITS)) is Verdict.PASSED
    for rows, nights in [
        (night(MIN_ROWS - 1, 1, shift=5), [reference]),
        (enough, [night(MIN_REFERENCE_ROWS - 1, 2, shift=5)]),
        (enough, []),
        (RowStatistics(PROBABILITIES), [reference]),
    ]:
        assert {measure.verdict for measure in measured_drift(rows, nights, LIMITS)} == {Verdict.NOT_EVALUATED}


@pytest.mark.parametrize("rows", [300, 1000, 10_000])
def test_nights_of_the_same_population_pass(rows: int) -> None:
    reference = [night(max(rows, 250), seed) for seed in range(1, 5)]
    verdicts = {worst(measured_drift(night(rows, seed), reference, LIMITS)) for seed in range(10, 40)}
    assert verdicts == {Verdict.PASSED}


def test_a_night_whose_scores_moved_fails_and_the_measure_says_which() -> None:
    reference = [night(3000, seed) for seed in range(1, 5)]
    found = measured_drift(night(3000, 9, shift=-2), reference, LIMITS)
    failed = {measure.of for measure in found if measure.verdict is Verdict.FAILED}
    assert {"scores of POSITIVE", "share of NEGATIVE", "share of POSITIVE"} <= failed
    (share,) = [measure for measure in found if measure.of == "share of NEGATIVE"]
    assert share.drift == pytest.approx(share.night - share.reference)  # type: ignore[operator]
    assert share.certain < share.drift  # type: ignore[operator]


def test_a_night_that_moves_as_much_as_accepted_nights_do_passes() -> None:
    shifts = [-2.0, 1.9, -1.8, 2.0, -1.9, 1.7, 0.1]
    reference = [night(5000, seed, shift=shift) for seed, shift in enumerate(shifts)]
    moved = night(5000, 99, shift=-2.0)
    assert worst(measured_drift(moved, reference, LIMITS)) is not Verdict.FAILED
    # The same distance is a failure where accepted nights are alike.
    calm = [night(5000, seed) for seed in range(7)]
    assert worst(measured_drift(moved, calm, LIMITS)) is Verdict.FAILED


def test_a_night_with_a_new_label_fails() -> None:
    reference = [RowStatistics.of(PROBABILITIES, rows_of(np.full(2000, 3.0)), {})]
    new = RowStatistics.of(PROBABILITIES, rows_of(np.repeat([3.0, -3.0], [1700, 300])), {})
    found = {measure.of: measure for measure in measured_drift(new, reference, LIMITS)}
    assert found["share of NEGATIVE"].verdict is Verdict.FAILED
    assert found["share of NEGATIVE"].reference == 0


def test_scores_of_all_labels_are_compared_where_they_are_published() -> None:
    def published(seed: int, shift: float) -> RowStatistics:
        logits = np.random.default_rng(seed).normal(1, 2, 1500) + shift
        positive = (1 / (1 + np.exp(-logits))).astype(np.float32)
        rows = dataclasses.replace(rows_of(logits, seed=seed), all_scores={"POSITIVE": positive})
        return RowStatistics.of(PROBABILITIES, rows, {})

    reference = [published(seed, 0) for seed in range(4)]
    for shift, verdict in ((0, Verdict.PASSED), (-2, Verdict.FAILED)):
        found = {of.of: of.verdict for of in measured_drift(published(9, shift), reference, LIMITS)}
        assert found["scores of POSITIVE in all rows"] is verdict


def test_without_a_limit_drift_only_warns_and_a_limit_of_the_settings_decides() -> None:
    reference = [night(3000, seed) for seed in range(1, 5)]
    moved = night(3000, 9, shift=-3)
    assert worst(measured_drift(moved, reference, DriftLimits(None, None))) is Verdict.WARNED
    assert worst(measured_drift(moved, reference, DriftLimits(50.0, 1.0))) is Verdict.PASSED
    assert worst(measured_drift(moved, reference, DriftLimits(None, 1.0))) is Verdict.WARNED


def test_texts_that_repeat_in_other_slices_and_longer_texts_warn_and_never_fail() -> None:
    reference = [night(4000, seed) for seed in range(1, 5)]
    texts = [b"%d" % row for row in range(2000)]
    doubled = night(2000, 9, texts=texts) + night(2000, 10, texts=texts)
    found = {measure.of: measure.verdict for measure in measured_drift(doubled, reference, LIMITS)}
    assert {of for of, verdict in found.items() if verdict is not Verdict.PASSED} == {"duplicates"}
    assert found["duplicates"] is Verdict.WARNED


def test_verdicts_are_ordered_and_measures_are_json() -> None:
    order = [Verdict.NOT_EVALUATED, Verdict.PASSED, Verdict.WARNED, Verdict.FAILED]
    measures = [Measure("scores", verdict, 1, 1) for verdict in order]
    assert [worst(measures[: end + 1]) for end in range(4)] == order
    assert worst([]) is Verdict.NOT_EVALUATED
    written = json.loads(json.dumps([measure.to_json() for measure in measures]))
    assert [measure["verdict"] for measure in written] == ["not_evaluated", "passed", "warned", "failed"]


@pytest.mark.parametrize(("nights", "peers", "factor"), [(3, 0, 1), (1, 3, 1), (2, 0, 2), (3, 2, 2)])
def test_twice_the_drift_is_needed_until_it_is_known_how_much_nights_differ(
    nights: int, peers: int, factor: int
) -> None:
    reference = [night(1000, seed) for seed in range(nights)]
    found = measured_drift(night(1000, 9), reference, LIMITS, [night(1000, seed) for seed in range(peers)])
    limits = {of.of: [of.warn_above, of.fail_above] for of in found}
    assert limits["scores"] == [0.1 * factor, 0.2 * factor]
    assert limits["share of POSITIVE"] == pytest.approx([0.02 * factor, 0.05 * factor])
    assert limits["tokens"] == [0.1 * factor, None]
