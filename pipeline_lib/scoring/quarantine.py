"""Work on a slice so that a row that kills its process is found, and a lost machine costs only time."""

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from pipeline_lib.errors import FaultError
from pipeline_lib.inputs import columns
from pipeline_lib.inputs.shards import Slice
from pipeline_lib.scoring.bisection import Case, Text

_DEATHS_AT_START = 3
# More than at the start, since a slice is read in moments: other causes may strike then, though seldom so often.
_DEATHS_WHILE_READING = 5

OnBatch = Callable[[Sequence[int]], None]


class CrashLedger(Protocol):
    """The one `bisection.Ledger` of a run, in whatever process it is; see there for its methods."""

    def take_up(self, key: tuple[object, ...]) -> Case:
        """Note that a process begins with a slice; return what is known of it."""

    def trying(self, key: tuple[object, ...], texts: Sequence[Text]) -> None:
        """Note the texts that are about to be computed."""

    def survived(self, key: tuple[object, ...]) -> None:
        """Note that the first set under suspicion did no harm."""

    def lay_down(self, key: tuple[object, ...]) -> None:
        """Note that a slice is done."""


class Stage(Protocol):
    """A step whose process may die of a row."""

    name: str

    @property
    def reads(self) -> Sequence[str]:
        """The columns that alone decide what it makes of a row; a table may lack some."""

    def __call__(self, table: pa.Table, on_batch: OnBatch | None = None, *, one_by_one: bool = False) -> pa.Table:
        """Compute a slice; tell the rows of each batch beforehand, if asked only when the last one is done."""

    def probe(self) -> None:
        """Compute something that is known to be harmless."""


def carefully(
    stage: Stage, part: Slice, table: pa.Table, ledger: CrashLedger, on_batch: OnBatch | None = None
) -> pa.Table:
    """Return what a stage makes of a slice; rows that killed their process again and again are rejected.

    Args:
        stage: the step.
        part: the slice.
        table: its rows.
        ledger: what processes that worked on this slice before left.
        on_batch: told the rows of each batch while nothing is suspected.

    Raises:
        DeviceError: this process can't go on, a new one may.
        FaultError: process after process dies over this slice, and no row is to blame.
    """
    key = (stage.name, part.shard, part.first_row)
    case = ledger.take_up(key)
    if case.hopeless:
        raise FaultError(
            f"{case.deaths} workers died at the {stage.name} over rows {part.first_row:,} to "
            f"{part.first_row + part.rows - 1:,} of shard {part.shard}, and no single row is to blame"
        )
    # What tells texts apart is needed only once something died.
    texts = _texts(table, stage.reads) if case.deaths or case.guilty else []
    table = _rejected(table, [row for row, text in enumerate(texts) if text in case.guilty], stage.name)
    first = {text: row for row, text in reversed(list(enumerate(texts))) if text not in case.guilty}

    def tell(batch: Sequence[int]) -> None:
        ledger.trying(key, [texts[row] for row in batch])

    for suspects in case.suspects:
        tell([])
        stage.probe()  # where this dies no row is to blame
        _try_alone(stage, table, [first[text] for text in suspects if text in first], tell)
        ledger.survived(key)
    done = stage(table, tell, one_by_one=True) if case.deaths else stage(table, on_batch)
    ledger.lay_down(key)
    return done


@contextlib.contextmanager
def reading(path: str, part: Slice, ledger: CrashLedger) -> Iterator[None]:
    """Read a slice in the block; where process after process dies of that, it is told and not read for ever.

    Args:
        path: of the shard, for the message.
        part: the slice.
        ledger: as for `carefully`.

    Raises:
        FaultError: it died too often.
    """
    key = ("reader", part.shard, part.first_row)
    case = ledger.take_up(key)
    if case.deaths >= _DEATHS_WHILE_READING:
        raise FaultError(
            f"{path!r}: {case.deaths} workers died while they read rows {part.first_row:,} to "
            f"{part.first_row + part.rows - 1:,}; is there memory for {part.rows:,} rows at once "
            "(tuning.rows_per_slice)?"
        )
    try:
        yield
    finally:  # a process that dies does not come here
        ledger.lay_down(key)


@contextlib.contextmanager
def starting(stage: str, process: str, ledger: CrashLedger) -> Iterator[None]:
    """Load a stage in the block; a process that dies of that each time it is restarted is told, not restarted.

    Args:
        stage: its name, for messages.
        process: what stays the same when the process is restarted.
        ledger: as for `carefully`.

    Raises:
        FaultError: it died too often.
    """
    key = ("start", stage, process)
    case = ledger.take_up(key)
    if case.deaths >= _DEATHS_AT_START:
        raise FaultError(
            f"the {stage} process died {case.deaths} times while it loaded the checkpoint; is there memory for it?"
        )
    yield
    ledger.lay_down(key)


def _try_alone(stage: Stage, table: pa.Table, rows: list[int], tell: OnBatch) -> None:
    """Compute some rows and forget what comes of it: that the process lives is all there is to know."""
    own = table.select([name for name in table.column_names if name in {*columns.INTERNAL, *columns.OUTPUT}])
    stage(own.take(pa.array(rows, pa.int64())), lambda batch: tell([rows[at] for at in batch]), one_by_one=True)


def _texts(table: pa.Table, names: Sequence[str]) -> list[Text]:
    """Return a digest of what the named columns hold in each row."""
    present = [_contents(table.column(name)) for name in names if name in table.column_names]
    return [
        # Each with its length, so that no two pairs of texts run into one.
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


def _rejected(table: pa.Table, guilty: Sequence[int], stage: str) -> pa.Table:
    """Reject rows that kill; those that were rejected before keep their reason."""
    valid = pc.is_null(table.column(columns.REJECT_CODE)).to_pylist()
    fault = ("killed_worker", f"the {stage} process dies of this text")
    return columns.rejected(table, {row: fault for row in guilty if valid[row]})
