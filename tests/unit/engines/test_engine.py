"""Out of memory: the batch is halved, no row is lost, and one row that is too large is an error."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline_lib.engines.engine import compute_by_halves
from pipeline_lib.errors import FaultError

Rows = NDArray[np.int64]


def no_answer(_: Rows, error: Exception) -> NDArray[np.float32]:
    raise error


@given(rows=st.integers(1, 200), room=st.integers(1, 50))
def test_whatever_the_memory_every_row_gets_its_answer(rows: int, room: int) -> None:
    def compute(batch: Rows) -> NDArray[np.float32]:
        if len(batch) > room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return (batch * 2).astype(np.float32)[:, None]

    found = compute_by_halves(compute, np.arange(rows), no_answer)
    assert found[:, 0].tolist() == [row * 2 for row in range(rows)]


def test_memory_that_this_machine_really_does_not_have_is_recognized() -> None:
    def compute(batch: Rows) -> NDArray[np.float32]:
        if len(batch) > 1:
            torch.empty(1 << 50)  # a petabyte
        return batch.astype(np.float32)

    assert compute_by_halves(compute, np.arange(5), no_answer).tolist() == [0, 1, 2, 3, 4]


def test_one_row_that_is_too_large_is_an_error() -> None:
    def compute(_: Rows) -> NDArray[np.float32]:
        torch.empty(1 << 50)
        raise AssertionError

    with pytest.raises(FaultError, match="a single text does not fit"):
        compute_by_halves(compute, np.arange(4), no_answer)


@given(kinds=st.lists(st.integers(0, 2), min_size=1, max_size=40))
def test_a_model_that_wants_its_rows_alike_gets_them_so(kinds: list[int]) -> None:
    def compute(batch: Rows) -> NDArray[np.float32]:
        if len({kinds[row] for row in batch}) > 1:
            raise ValueError("All examples must have the same number of <eos> tokens.")
        return batch.astype(np.float32)

    assert compute_by_halves(compute, np.arange(len(kinds)), no_answer).tolist() == list(range(len(kinds)))


@given(poison=st.sets(st.integers(0, 39)))
def test_rows_that_fail_alone_are_reported_and_the_others_get_their_answers(poison: set[int]) -> None:
    def compute(batch: Rows) -> NDArray[np.float32]:
        if poison & set(batch.tolist()):
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
        return batch.astype(np.float32)

    found = compute_by_halves(compute, np.arange(40), lambda batch, _: np.full(len(batch), np.nan, np.float32))
    assert set(np.flatnonzero(np.isnan(found)).tolist()) == poison
    assert all(found[row] == row for row in range(40) if row not in poison)
