"""Two results of the same rows: flips and differences are those of a plain loop, and add up over slices."""

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_lib.statistics.comparison import MOST_EXAMPLES, Comparison, largest_differences, score_differences
from tests.unit.statistics.made_rows import rows_of

LOGITS = st.lists(st.tuples(st.floats(-3, 3), st.floats(-3, 3)), max_size=40)


def compared(logits: list[tuple[float, float]], shard: str = "a.parquet", first: int = 0) -> Comparison:
    """Return the comparison of two results that have these logits for the same rows."""
    one, other = (rows_of([pair[side] for pair in logits]) for side in (0, 1))
    flipped = np.array([a != b for a, b in zip(one.labels, other.labels, strict=True)], np.bool_)
    differences = score_differences(one.scores, other.scores, flipped, labels=2)
    return Comparison.of(shard, np.arange(first, first + len(logits)), (one.labels, other.labels), differences)


@given(logits=LOGITS)
def test_flips_and_differences_are_those_of_a_plain_loop(logits: list[tuple[float, float]]) -> None:
    found = compared(logits).to_json()
    positive = [[float(np.float32(1 / (1 + np.exp(-side)))) for side in pair] for pair in logits]
    # At 0.5 the first label wins, as in the pipeline.
    labels = [tuple("POSITIVE" if side > 0.5 else "NEGATIVE" for side in pair) for pair in positive]
    assert found["rows"] == len(logits)
    assert found["flips"] == sum(one != other for one, other in labels)
    assert found["largest"] == pytest.approx(max((abs(a - b) for a, b in positive), default=0), abs=2e-7)
    pairs = {(one, other): n for one, row in found["by_label"].items() for other, n in row.items()}
    assert pairs == Counter(labels)
    assert all(example["difference"] or example["flipped"] for example in found["examples"])


@settings(max_examples=50)
@given(one=LOGITS, other=LOGITS, third=LOGITS)
def test_comparisons_of_slices_add_up_in_any_order(
    one: list[tuple[float, float]], other: list[tuple[float, float]], third: list[tuple[float, float]]
) -> None:
    a, b, c = compared(one), compared(other, first=len(one)), compared(third, "b.parquet")
    assert (a + b) + c == a + (b + c) == c + b + a
    assert a + b == compared([*one, *other])
    assert a + Comparison() == a
    total = (a + b + c).to_json()
    assert total["rows"] == sum(shard["rows"] for shard in total["by_shard"].values()) == len(one + other + third)
    assert total["flips"] == sum(shard["flips"] for shard in total["by_shard"].values())
    assert len(total["examples"]) <= MOST_EXAMPLES
    json.dumps(total)


def test_the_examples_are_the_rows_that_differ_most_flips_first() -> None:
    logits = [(2.0, 2.0), (0.1, -0.1), (3.0, 0.2), (1.0, -1.0)]
    assert [(row.row, row.flipped) for row in compared(logits).examples] == [(3, True), (1, True), (2, False)]


def test_a_flip_among_many_labels_hides_the_difference_unless_all_scores_are_known() -> None:
    flipped = np.array([True, False])
    one, other = np.array([0.5, 0.9], np.float32), np.array([0.4, 0.8], np.float32)
    differences = score_differences(one, other, flipped, labels=3)
    assert np.isnan(differences).tolist() == [True, False]
    found = Comparison.of("a.parquet", np.arange(2), (["x", "y"], ["z", "y"]), differences)
    assert (found.flips, found.differences.total) == (1, 1)
    assert found.largest == pytest.approx(0.1, abs=1e-6)
    both = largest_differences(np.array([[0.5, 0.1, 0.4]], np.float32), np.array([[0.3, 0.3, 0.4]], np.float32))
    assert both.tolist() == pytest.approx([0.2])


def test_rows_of_one_result_alone_are_counted_apart() -> None:
    found = Comparison(only_in_first=2) + Comparison(only_in_second=3) + compared([(1.0, 1.0)])
    assert (found.rows, found.only_in_first, found.only_in_second) == (1, 2, 3)
    assert (found.flips, found.largest, found.examples) == (0, 0.0, ())
