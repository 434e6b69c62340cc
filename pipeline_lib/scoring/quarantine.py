"""Work on a slice so that a row that crashes its process is rejected, and a lost machine costs only time."""

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from pipeline_lib.errors import FaultError
from pipeline_lib.inputs import columns
from pipeline_lib.inputs.shards import Slice
from pipeline_lib.scoring.bisection import CrashHistory, TextDigest
from pipeline_lib.scoring.stage import OnBatch, Stage

_CRASHES_WHILE_LOADING = 3
# More than while loading: to read a slice takes moments, so that a crash then may have other causes.
_CRASHES_WHILE_READING = 5


class CrashLedger(Protocol):
    """The one `bisection.Ledger` of a run, in whatever process it is; see there for its methods."""

    def begin_work(self, key: tuple[object, ...]) -> CrashHistory:
        """Note that a process begins with a slice; return what is known of it."""

    def begin_batch(self, key: tuple[object, ...], texts: Sequence[TextDigest]) -> None:
        """Note the texts that are about to be computed."""

    def clear_candidates(self, key: tuple[object, ...]) -> None:
        """Note that the first set of candidates was computed."""

    def end_work(self, key: tuple[object, ...]) -> None:
        """Note that a slice is done."""


def run_with_quarantine(
    stage: Stage, part: Slice, table: pa.Table, ledger: CrashLedger, on_batch: OnBatch | None = None
) -> pa.Table:
    """Run a stage on a slice; rows that crash the process each time they are tried are rejected.

    Args:
        stage: the step.
        part: the slice.
        table: its rows.
        ledger: the notes of the processes that worked on this slice before.
        on_batch: called with the rows of each batch before it starts, while no crash is known.

    Raises:
        DeviceError: this process can't go on, a new one may.
        FaultError: process after process crashes over this slice, and no row causes it.
    """
    key = ((stage.name, stage.of), *part.key)
    history = ledger.begin_work(key)
    if history.is_unsolved:
        raise FaultError(
            f"{history.crashes} workers died at the {stage.name} over rows {part.first_row:,} to "
            f"{part.first_row + part.rows - 1:,} of shard {part.shard}, and no single row is to blame"
        )
    # Digests are needed only after a crash.
    texts = _digests(table, stage.reads) if history.crashes or history.culprits else []
    table = _rejected(table, [row for row, text in enumerate(texts) if text in history.culprits], stage.name)
    first = {text: row for row, text in reversed(list(enumerate(texts))) if text not in history.culprits}

    def note_batch(batch: Sequence[int]) -> None:
        ledger.begin_batch(key, [texts[row] for row in batch])

    for candidates in history.candidates:
        note_batch([])
        stage.probe()  # where this crashes, no row causes it
        _try_alone(stage, table, [first[text] for text in candidates if text in first], note_batch)
        ledger.clear_candidates(key)
    result = stage(table, note_batch, one_by_one=True) if history.crashes else stage(table, on_batch)
    ledger.end_work(key)
    return result


@contextlib.contextmanager
def reading_counted(path: str, part: Slice, ledger: CrashLedger) -> Iterator[None]:
    """Read a slice in the block, and refuse to read it once more after several processes crashed over it.

    Args:
        path: of the shard, for the message.
        part: the slice.
        ledger: as for `run_with_quarantine`.

    Raises:
        FaultError: there were too many crashes.
    """
    key = ("reader", *part.key)
    history = ledger.begin_work(key)
    if history.crashes >= _CRASHES_WHILE_READING:
        raise FaultError(
            f"{path!r}: {history.crashes} workers died while they read rows {part.first_row:,} to "
            f"{part.first_row + part.rows - 1:,}; is there memory for {part.rows:,} rows at once "
            "(tuning.rows_per_slice)?"
        )
    try:
        yield
    finally:  # a process that crashes does not come here
        ledger.end_work(key)


@contextlib.contextmanager
def loading_counted(stage: str, process: str, ledger: CrashLedger) -> Iterator[None]:
    """Load a stage in the block, and refuse to load it once more after several crashes.

    Args:
        stage: its name, for messages.
        process: a name that stays the same when the process is restarted.
        ledger: as for `run_with_quarantine`.

    Raises:
        FaultError: there were too many crashes.
    """
    key = ("start", stage, process)
    history = ledger.begin_work(key)
    if history.crashes >= _CRASHES_WHILE_LOADING:
        raise FaultError(
            f"the {stage} process died {history.crashes} times while it loaded the checkpoint; "
            "is there memory for it?"
        )
    yield
    ledger.end_work(key)


def _try_alone(stage: Stage, table: pa.Table, rows: list[int], note_batch: OnBatch) -> None:
    """Compute some rows for no other result than whether the process crashes."""
    own = table.select([name for name in table.column_names if name in {*columns.INTERNAL, *columns.OUTPUT}])
    stage(
        own.take(pa.array(rows, pa.int64())),
        lambda batch: note_batch([rows[place] for place in batch]),
        one_by_one=True,
    )


def _digests(table: pa.Table, names: Sequence[str]) -> list[TextDigest]:
    """Return a digest of what the named columns hold in each row."""
    present = [_contents(table.column(name)) for name in names if name in table.column_names]
    return [
        # Each with its length, so that no two pairs of texts give the same bytes.
        hashlib.blake2b(b"".join(b"%d:%b" % (len(part), part) for part in row), digest_size=16).digest()
        for row in zip(*present, strict=True)
    ]


def _contents(column: pa.ChunkedArray) -> Iterator[bytes]:
    """Yield the bytes of each row of a column of texts, or of lists of numbers; a null has none."""
    for chunk in column.chunks:
        if pa.types.is_list(chunk.type):
            values = chunk.values.to_numpy()
            yield from (values[start:end].tobytes() for start, end in pairwise(chunk.offsets.to_numpy()))
        else:
            yield from (value or b"" for value in chunk.to_pylist())


def _rejected(table: pa.Table, culprits: Sequence[int], stage: str) -> pa.Table:
    """Reject rows that crash the process; those that were rejected before keep their reason."""
    valid = pc.is_null(table.column(columns.REJECT_CODE)).to_pylist()
    fault = ("killed_worker", f"the {stage} process dies of this text")
    return columns.rejected(table, {row: fault for row in culprits if valid[row]})
