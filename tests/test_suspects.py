"""Rows that kill their process are found, alone; others never are."""

from collections.abc import Iterator
from itertools import repeat

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib import columns
from pipeline_lib.careful import OnBatch, carefully
from pipeline_lib.errors import FaultError
from pipeline_lib.shards import Slice
from pipeline_lib.suspects import Ledger


class DeathError(BaseException):
    """Stands for the end of a process: nothing after it runs."""


def a_slice(rows: int) -> pa.Table:
    nothing = pa.nulls(rows, pa.string())
    return pa.table(
        {
            columns.ROW: pa.array(range(rows), pa.int64()),
            columns.REJECT_CODE: nothing,
            columns.REJECT_MESSAGE: nothing,
        }
    )


class Deadly:
    """A stage that dies of some rows, and whenever chance strikes."""

    name = "model"

    def __init__(self, size: int, kills: set[int], strokes: Iterator[bool]) -> None:
        self._size, self._kills, self._strokes = size, kills, strokes

    def __call__(self, table: pa.Table, on_batch: OnBatch | None = None, *, one_by_one: bool = False) -> pa.Table:  # noqa: ARG002
        """Return the table as it is, or die."""
        for start in range(0, table.num_rows, self._size):
            batch = table.slice(start, self._size).to_pylist()
            if on_batch:
                on_batch(list(range(start, start + len(batch))))
            alive = {row[columns.ROW] for row in batch if row[columns.REJECT_CODE] is None}
            if not self._kills.isdisjoint(alive) or next(self._strokes, False):
                raise DeathError
        return table

    def probe(self) -> None:
        """Die only by chance."""
        if next(self._strokes, False):
            raise DeathError


def work(rows: int, stage: Deadly) -> tuple[pa.Table, int]:
    """Let process after process work on a slice; return what the last one made of it, and how many died."""
    ledger = Ledger()

    def notes(call: str, *arguments: object) -> object:
        return getattr(ledger, call)(*arguments)

    for deaths in range(10_000):
        try:
            return carefully(stage, Slice(0, 0, rows), a_slice(rows), notes), deaths
        except DeathError:
            continue
    raise AssertionError


@given(rows=st.integers(1, 200), size=st.integers(1, 64), data=st.data())
def test_exactly_the_rows_that_kill_are_rejected(rows: int, size: int, data: st.DataObject) -> None:
    kills = data.draw(st.sets(st.integers(0, rows - 1), max_size=3))
    done, deaths = work(rows, Deadly(size, kills, iter(())))
    codes = done.column(columns.REJECT_CODE).to_pylist()
    assert {row for row, code in enumerate(codes) if code == "killed_worker"} == kills
    assert deaths <= (len(kills) + 1) * 20


@given(rows=st.integers(2, 100), size=st.integers(2, 64), chance=st.lists(st.booleans(), max_size=12))
def test_a_process_that_dies_by_chance_costs_no_row(rows: int, size: int, chance: list[bool]) -> None:
    # Chance does not strike the same row three times while it is alone.
    done, _ = work(rows, Deadly(size, set(), (stroke and not at % 3 for at, stroke in enumerate(chance))))
    assert done.column(columns.REJECT_CODE).null_count == rows


def test_a_machine_that_kills_everything_is_told_and_rejects_nothing() -> None:
    with pytest.raises(FaultError, match=r"2\d workers died at the model over rows 0 to 9 of shard 0"):
        work(10, Deadly(4, set(), repeat(True)))


def test_slices_that_were_done_are_not_suspected_when_taken_up_again() -> None:
    ledger = Ledger()
    ledger.take_up("slice")
    ledger.lay_down("slice")
    assert ledger.take_up("slice").deaths == 0
