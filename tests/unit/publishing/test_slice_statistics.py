"""What is counted of a slice: the statistics of slices add up to those of the whole, however it is cut."""

from dataclasses import replace
from functools import reduce
from itertools import pairwise
from operator import add

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.inputs import columns
from pipeline_lib.publishing.slice_statistics import evaluation_of, statistics_of
from pipeline_lib.scoring.statistics_columns import with_text_hashes, with_truth
from pipeline_lib.statistics.scored_rows import near_boundary
from pipeline_lib.statistics.truth import TruthLabels

LABELS = ("NEGATIVE", "POSITIVE")
MODEL = (LABELS, "softmax")


def scored(seed: int, rows: int) -> pa.Table:
    """Return scored rows with all that they have inside the flow."""
    random = np.random.default_rng(seed)
    positive = random.random(rows).astype(np.float32)
    both = np.stack([1 - positive, positive], axis=1)
    best = both.argmax(axis=1)
    read = pa.table(
        {
            columns.TEXT: pa.array(
                [b"text %d" % number for number in random.integers(0, 1 << 40, rows)], pa.binary()
            ),
            columns.truth_of("stars"): pa.array(random.integers(1, 7, rows), pa.int8()),
        }
    )
    stars = TruthLabels(LABELS, {"1": "NEGATIVE", "2": "NEGATIVE", "3": None, "4": "POSITIVE", "5": "POSITIVE"})
    tokens = random.integers(1, 80, rows).astype(np.int32)
    added = {
        columns.LABEL: pa.array([LABELS[index] for index in best], pa.string()),
        columns.SCORE: pa.array(both[np.arange(rows), best], pa.float32()),
        columns.SCORES: pa.array(list(both), pa.list_(pa.float32())),
        columns.N_TOKENS: pa.array(tokens),
        columns.TRUNCATED: pa.array(tokens > 64),
        columns.NEAR_BOUNDARY: pa.array(near_boundary(both, "softmax")),
    }
    table = with_truth(with_text_hashes(read), stars, "stars").drop_columns([columns.TEXT])
    for name, values in added.items():
        table = table.append_column(name, values)
    return table


@given(seed=st.integers(0, 999), rows=st.integers(0, 120), cuts=st.lists(st.integers(0, 120), max_size=4))
def test_the_statistics_of_slices_add_up_to_those_of_the_whole(seed: int, rows: int, cuts: list[int]) -> None:
    table = scored(seed, rows)
    ends = [0, *sorted(min(cut, rows) for cut in cuts), rows]
    parts = [table.slice(start, end - start) for start, end in pairwise(ends)]
    whole, truth = statistics_of(table, {}, *MODEL), evaluation_of(table, *MODEL)
    statistics = [statistics_of(part, {}, *MODEL) for part in parts]
    evaluations = [evaluation_of(part, *MODEL) for part in parts]
    assert whole
    assert truth
    total = reduce(add, filter(None, statistics))
    assert reduce(add, filter(None, evaluations)).to_json() == truth.to_json()
    # A text that is repeated in another slice is found by the sample alone.
    assert total.duplicates <= whole.duplicates
    assert replace(total, duplicates=whole.duplicates).to_json() == whole.to_json()
    assert whole.scored == rows == truth.rows + truth.without_truth + truth.unknown


def test_of_scores_that_are_taken_over_only_the_truth_is_counted() -> None:
    taken_over = scored(1, 9).drop_columns([columns.NEAR_BOUNDARY, columns.TEXT_HASH])
    assert statistics_of(taken_over, {}, *MODEL) is None
    assert evaluation_of(taken_over, *MODEL)
    assert evaluation_of(taken_over.drop_columns([columns.TRUTH]), *MODEL) is None


def test_a_text_and_a_pair_of_the_same_letters_are_two_texts() -> None:
    texts, pairs = [b"ab", b"a", b"ab", b"a"], [None, b"b", b"", b"b"]
    table = pa.table({columns.TEXT: pa.array(texts), columns.PAIR: pa.array(pairs, pa.binary())})
    hashes = with_text_hashes(table).column(columns.TEXT_HASH).to_pylist()
    assert hashes[0] == hashes[2] != hashes[1] == hashes[3]
