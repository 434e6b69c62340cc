"""Micro-batches: every row once, under the budget, whatever the lengths."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline_lib.batching import budget_within, distinct, equal_length_batches, micro_batches, padded

Lengths = NDArray[np.int32]
Cut = Callable[[Lengths, int], Iterator[NDArray[np.int64]]]

LENGTHS = st.lists(st.integers(1, 600), max_size=200).map(lambda values: np.array(values, np.int32))
CUTS = pytest.mark.parametrize("cut", [micro_batches, equal_length_batches])


@CUTS
@given(lengths=LENGTHS, budget=st.integers(1, 4096))
def test_every_row_is_in_exactly_one_batch(cut: Cut, lengths: Lengths, budget: int) -> None:
    rows = [row for batch in cut(lengths, budget) for row in batch.tolist()]
    assert sorted(rows) == list(range(len(lengths)))


@CUTS
@given(lengths=LENGTHS, budget=st.integers(1, 4096))
def test_no_batch_exceeds_the_budget_unless_it_is_one_row(cut: Cut, lengths: Lengths, budget: int) -> None:
    for batch in cut(lengths, budget):
        assert len(batch) == 1 or len(batch) * lengths[batch].max() <= budget


@given(lengths=LENGTHS, budget=st.integers(1, 4096))
def test_lengths_fall_from_batch_to_batch_so_that_padding_stays_small(lengths: Lengths, budget: int) -> None:
    order = [lengths[row] for batch in micro_batches(lengths, budget) for row in batch]
    assert order == sorted(order, reverse=True)


@given(lengths=LENGTHS, budget=st.integers(1, 4096))
def test_equal_length_batches_hold_one_length_each(lengths: Lengths, budget: int) -> None:
    for batch in equal_length_batches(lengths, budget):
        assert len(set(lengths[batch].tolist())) == 1


def test_rows_of_equal_length_keep_their_order() -> None:
    lengths = np.array([3, 5, 3, 5, 3], np.int32)
    assert [batch.tolist() for batch in micro_batches(lengths, 10)] == [[1, 3], [0, 2, 4]]


ROWS = st.lists(st.tuples(st.lists(st.integers(0, 1), max_size=3), st.integers(0, 1)), max_size=30)


@given(rows=ROWS)
def test_equal_rows_are_found_and_no_others(rows: list[tuple[list[int], int]]) -> None:
    ids = [np.array(row, np.int32) for row, _ in rows]
    types = [np.full(len(row), kind, np.int32) for row, kind in rows]
    kinds = [(tuple(row), kind if row else None) for row, kind in rows]
    first, same = distinct(ids, types)
    assert [kinds[at] for at in first] == list(dict.fromkeys(kinds))
    assert [kinds[first[at]] for at in same] == kinds


@given(rows=st.lists(st.lists(st.integers(0, 9), max_size=8), min_size=1, max_size=8), fill=st.integers(0, 9))
def test_padding_keeps_every_row_and_masks_the_rest(rows: list[list[int]], fill: int) -> None:
    ids, mask = padded([np.array(row, np.int32) for row in rows], fill)
    assert ids.shape == mask.shape == (len(rows), max(map(len, rows)))
    for row, found, real in zip(rows, ids, mask, strict=True):
        assert found[: len(row)].tolist() == row
        assert set(found[len(row) :].tolist()) <= {fill}
        assert real.tolist() == [1] * len(row) + [0] * (ids.shape[1] - len(row))


def test_padding_no_rows_gives_an_empty_batch() -> None:
    ids, mask = padded([], 0)
    assert ids.shape == mask.shape == (0, 0)


@given(usable=st.integers(0, 1 << 40), each=st.floats(1, 1e7), most=st.integers(1, 1 << 17))
def test_a_budget_fits_and_half_as_much_memory_again_does_not_double_it(
    usable: int, each: float, most: int
) -> None:
    found = budget_within(usable, each, most)
    assert 1 <= found <= most
    assert found == 1 or found * each <= usable * (1 + 1e-9)
    assert found == most or 2 * found * each > usable * (1 - 1e-9)
