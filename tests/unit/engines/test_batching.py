"""Micro-batches: every row once, under the budget, whatever the lengths."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline_lib.engines.batching import (
    BatchMemory,
    distinct,
    equal_length_batches,
    fit_batch_memory,
    micro_batches,
    padded,
)

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


@given(
    lengths=st.lists(st.integers(1, 600), min_size=1, max_size=60), usable=st.floats(0, 1e6), square=st.floats(0, 9)
)
def test_a_batch_is_split_into_halves_of_halves_that_there_is_room_for(
    lengths: list[int], usable: float, square: float
) -> None:
    memory, each = BatchMemory(usable, 3.0, square), np.array(lengths, np.int32)
    batch = np.arange(len(lengths))
    parts = list(memory.split(batch, each))
    assert np.concatenate(parts).tolist() == batch.tolist()
    for part in parts:
        assert len(part) == 1 or memory.needed(len(part), int(each[part].max())) <= usable
    halves = {tuple(batch.tolist())}
    for _ in lengths:
        halves |= {half for some in halves for half in (some[: len(some) // 2], some[len(some) // 2 :])}
    assert {tuple(part.tolist()) for part in parts} <= halves
    assert len(list(BatchMemory().split(batch, each))) == 1


@given(rows=st.integers(2, 500), longest=st.integers(1, 600), usable=st.floats(0, 1e9))
def test_a_batch_that_failed_is_not_tried_again_and_the_memory_never_grows(
    rows: int, longest: int, usable: float
) -> None:
    for memory in (BatchMemory(), BatchMemory(usable, 2.0, 0.5)):
        left = memory.after_failure(rows, longest)
        assert left.usable <= memory.usable
        parts = list(left.split(np.arange(rows), np.full(rows, longest, np.int32)))
        assert len(parts) > 1
        assert left.after_failure(1, longest) == left


def test_half_of_a_batch_that_failed_is_tried() -> None:
    left = BatchMemory().after_failure(64, 100)
    assert [len(part) for part in left.split(np.arange(64), np.full(64, 100, np.int32))] == [32, 32]


SEEN = st.tuples(st.integers(1, 64), st.integers(0, 8000), st.floats(0, 1e9), st.floats(0, 1e12))


@given(SEEN)
@example((3, 0, 7.0, 9.0))
@example((3, 5, 0.0, 0.0))
def test_the_memory_counted_on_is_never_less_than_measured(seen: tuple[int, int, float, float]) -> None:
    few, more, little, much = seen
    memory = fit_batch_memory(1000, (few, little), (few + more, much))
    assert memory.linear >= 0 <= memory.square
    assert memory.linear + memory.square > 0
    assert memory.needed(1, few) >= little * (1 - 1e-6)
    assert memory.needed(1, few + more) >= much * (1 - 1e-6)


@given(few=st.integers(1, 64), more=st.integers(1, 8000), linear=st.floats(1, 1e6), square=st.floats(0, 1e4))
def test_attention_that_grows_with_the_square_is_measured(
    few: int, more: int, linear: float, square: float
) -> None:
    memory = fit_batch_memory(1000, *[(n, linear * n + square * n**2) for n in (few, few + more)])
    for length in (few, few + more // 2, few + more):
        assert memory.needed(1, length) == pytest.approx(linear * length + square * length**2, rel=1e-4)
