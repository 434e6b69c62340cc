"""The scored rows of a published shard as a stream of blocks, with the numbers that the rows have in the shard."""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline_lib.comparing.alignment import Block, RowNumbers
from pipeline_lib.comparing.published import Published
from pipeline_lib.errors import OutputError
from pipeline_lib.inputs import columns
from pipeline_lib.storage.records import StoredRows
from pipeline_lib.storage.store_errors import translated_errors

_ROWS_AT_A_TIME = 16_384


def scored_rows(output: Published, shard: int, names: Sequence[str]) -> Iterator[Block]:
    """Yield the scored rows of a shard in its order, some thousands at a time.

    A part has a run of rows of the shard without the rejected ones, whose numbers tell those of the others.

    Args:
        output: what is published.
        shard: number of the shard.
        names: the columns to read; of those that the job added, the names without a prefix.

    Raises:
        OutputError: a file is damaged.
        NightscoreError: the storage failed.
    """
    stored_names = [output.added_columns.get(name, name) for name in names]
    for stored in output.files.get(shard, []):
        numbers = _numbers(output, stored)
        done = 0
        for table in _tables(output, stored.part.file, stored_names):
            yield Block(numbers[done : done + table.num_rows], table.rename_columns(list(names)))
            done += table.num_rows
        if done != len(numbers):
            raise _damaged(output, stored.part.file, f"has {done:,} rows, expected {len(numbers):,}")


def _numbers(output: Published, stored: StoredRows) -> RowNumbers:
    """Return the numbers of the scored rows of a file."""
    is_scored = np.ones(stored.rows, np.bool_)
    if stored.rejects:
        for table in _tables(output, stored.rejects.file, [columns.ROW_NUMBER]):
            rejected = table.column(columns.ROW_NUMBER).to_numpy() - stored.first_row
            if len(rejected) and not (rejected.min() >= 0 and rejected.max() < stored.rows):
                raise _damaged(output, stored.rejects.file, "has rows of another file")
            is_scored[rejected] = False
    return stored.first_row + np.flatnonzero(is_scored)


def _tables(output: Published, name: str, names: Sequence[str]) -> Iterator[pa.Table]:
    file = output.folder / name
    with translated_errors(file.url, "reading the rows"):
        try:
            with file.open() as content, pq.ParquetFile(content) as parquet:
                for batch in parquet.iter_batches(_ROWS_AT_A_TIME, columns=list(names)):
                    yield pa.Table.from_batches([batch]).select(list(names))
        except (pa.ArrowInvalid, KeyError) as error:
            raise _damaged(output, name, f"can't be read: {error}") from error


def _damaged(output: Published, name: str, what: str) -> OutputError:
    return OutputError(f"{output.url!r}: {name!r} {what}; check the output with `nightscore verify`")
