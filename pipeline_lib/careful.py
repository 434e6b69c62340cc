"""Work on a slice so that a row that kills its process is found, and a lost machine costs only time."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol

import pyarrow as pa

from pipeline_lib import columns
from pipeline_lib.errors import DeviceError, FaultError
from pipeline_lib.shards import Slice
from pipeline_lib.suspects import Case

_DEATHS_AT_START = 3

OnBatch = Callable[[Sequence[int]], None]


Notes = Callable[..., Any]
"""Calls a method of the one `suspects.Ledger`, wherever it is: `notes("trying", key, rows)`."""


class Stage(Protocol):
    """A step whose process may die of a row."""

    name: str

    def __call__(self, table: pa.Table, on_batch: OnBatch | None = None, *, one_by_one: bool = False) -> pa.Table:
        """Compute a slice; tell the rows of each batch beforehand, if asked only when the last one is done."""

    def probe(self) -> None:
        """Compute something that is known to be harmless."""


def carefully(
    stage: Stage, part: Slice, table: pa.Table, notes: Notes, on_batch: OnBatch | None = None
) -> pa.Table:
    """Return what a stage makes of a slice; rows that killed their process again and again are rejected.

    Args:
        stage: the step.
        part: the slice.
        table: its rows.
        notes: what processes that worked on this slice before left.
        on_batch: told the rows of each batch while nothing is suspected.

    Raises:
        FaultError: process after process dies over this slice, and no row is to blame.
    """
    key = (stage.name, part.shard, part.first_row)
    case: Case = notes("take_up", key)
    if case.hopeless:
        raise FaultError(
            f"{case.deaths} workers died at the {stage.name} over rows {part.first_row:,} to "
            f"{part.first_row + part.rows - 1:,} of shard {part.shard}, and no single row is to blame"
        )
    table = columns.rejected(table, _faults(case, stage.name))
    try:
        for suspects in case.suspects:
            notes("trying", key, [])
            stage.probe()  # where this dies no row is to blame
            few = _own_columns(table).take(pa.array(suspects))
            tell = partial(_tell, notes, key, suspects)
            stage(few, tell, one_by_one=True)
            notes("survived", key)
        if case.deaths:
            done = stage(table, lambda batch: notes("trying", key, batch), one_by_one=True)
        else:
            done = stage(table, on_batch)
    except DeviceError:
        os._exit(1)  # a new process can go on where this one can't; the notes say how often that was tried
    notes("lay_down", key)
    return done


@contextlib.contextmanager
def starting(stage: str, process: str, notes: Notes) -> Iterator[None]:
    """Load a stage in the block; a process that dies of that each time it is restarted is told, not restarted.

    Args:
        stage: its name, for messages.
        process: what stays the same when the process is restarted.
        notes: as for `carefully`.

    Raises:
        FaultError: it died too often.
    """
    key = ("start", stage, process)
    case: Case = notes("take_up", key)
    if case.deaths >= _DEATHS_AT_START:
        raise FaultError(
            f"the {stage} process died {case.deaths} times while it loaded the checkpoint; is there memory for it?"
        )
    yield
    notes("lay_down", key)


def _tell(notes: Notes, key: Any, suspects: Sequence[int], batch: Sequence[int]) -> None:
    notes("trying", key, [suspects[at] for at in batch])


def _faults(case: Case, stage: str) -> dict[int, tuple[str, str]]:
    return dict.fromkeys(case.guilty, ("killed_worker", f"the {stage} process dies of this text"))


def _own_columns(table: pa.Table) -> pa.Table:
    """Return the columns that the stages look at, without the user's."""
    return table.select([name for name in table.column_names if name in {*columns.INTERNAL, *columns.OUTPUT}])
