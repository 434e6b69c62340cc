"""Parquet shards: their footer, and any run of their rows without reading the rest into memory."""

from collections.abc import Sequence
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline_lib.errors import InputError
from pipeline_lib.inputs.shards import MOST_COLUMNS, MOST_SLICE_BYTES, Contents
from pipeline_lib.storage.location import Location
from pipeline_lib.storage.store_errors import translated_errors

_BATCH_ROWS = 1024
# Wanted columns of up to so many bytes are fetched at once, since each request to a store takes its time. Beyond,
# pages are read as they are decoded: memory follows the batch, not the row group.
_FETCHED_AT_ONCE = 4 << 20
_BUFFER_BYTES = 1 << 20
# Stores whose libraries fetch more than is asked for.
_READ_AHEAD = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "http", "https"}


def inspect(shard: Location) -> Contents:
    """Return the columns and the number of rows by a shard's footer.

    Raises:
        InputError: the file is not Parquet, is cut short, can't be read, or has too many columns.
    """
    path = shard.path
    with translated_errors(path, "reading the Parquet footer"):
        try:
            with _opened(shard) as file:
                footer = pq.read_metadata(file)
                if footer.num_columns > MOST_COLUMNS:
                    raise InputError(
                        f"{path!r} has {footer.num_columns:,} columns, {MOST_COLUMNS:,} at most can be read"
                    )
                return Contents(footer.schema.to_arrow_schema().remove_metadata(), footer.num_rows)
        except (pa.ArrowException, OSError, ValueError) as error:
            if _is_storage_fault(error):
                raise
            reason = str(error).splitlines()[0]
            raise InputError(f"{path!r} is not a whole Parquet file: {reason}") from error


def read_rows(shard: Location, run: tuple[int, int], columns: Sequence[str]) -> pa.Table:
    """Return `run = (first row, number of rows)` of the named columns, with their exact types.

    Raises:
        InputError: the pages can't be read, or the file ends early.
    """
    path, (first, rows) = shard.path, run
    with translated_errors(path, "reading Parquet rows"), _opened(shard) as handle:
        try:
            footer = pq.read_metadata(handle)
            groups, skip = _groups_of(footer, first, rows)
            _refuse_bomb(path, run, footer, columns)
            at_once = _bytes_of(footer, groups, columns) <= _FETCHED_AT_ONCE
            file = pq.ParquetFile(handle, metadata=footer, pre_buffer=at_once, buffer_size=_BUFFER_BYTES)
            batches = _run_of(file.iter_batches(_BATCH_ROWS, groups, list(columns)), skip, rows)
            schema = pa.schema([file.schema_arrow.field(name) for name in columns])
            table = pa.Table.from_batches(batches, schema) if batches else schema.empty_table()
        except (pa.ArrowException, OSError) as error:
            if _is_storage_fault(error):
                raise
            raise InputError(f"{path!r}: damaged near row {first:,}: {str(error).splitlines()[0]}") from error
    if columns and table.num_rows != rows:
        raise InputError(f"{path!r} has {table.num_rows:,} rows from row {first:,} on, expected {rows:,}")
    return table.replace_schema_metadata(None)


def _opened(shard: Location) -> IO[bytes]:
    """Open a shard without fsspec's own read-ahead, 50 MiB of which each turn to another column throws away."""
    protocol = shard.fs.protocol
    protocols = {protocol} if isinstance(protocol, str) else set(protocol)
    options = {"cache_type": "none"} if protocols & _READ_AHEAD else {}
    file: IO[bytes] = shard.fs.open(shard.path, "rb", **options)
    return file


def _bytes_of(footer: pq.FileMetaData, groups: Sequence[int], columns: Sequence[str]) -> int:
    """Return the bytes that columns take in row groups."""
    leaves = [footer.schema.column(index).path for index in range(len(footer.schema))]
    wanted = [
        index for index, leaf in enumerate(leaves) if any(f"{leaf}.".startswith(f"{name}.") for name in columns)
    ]
    return sum(footer.row_group(group).column(index).total_compressed_size for group in groups for index in wanted)


def _groups_of(footer: pq.FileMetaData, first: int, rows: int) -> tuple[list[int], int]:
    """Return the row groups that a run touches, and the rows to skip in the first of them."""
    ends = np.cumsum([footer.row_group(index).num_rows for index in range(footer.num_row_groups)])
    starts = np.concatenate([[0], ends[:-1]]) if len(ends) else ends
    touched = np.flatnonzero((ends > first) & (starts < first + rows))
    return touched.tolist(), int(first - starts[touched[0]]) if len(touched) else 0


def _refuse_bomb(path: str, run: tuple[int, int], footer: pq.FileMetaData, columns: Sequence[str]) -> None:
    """Check by the sizes in the footer that a run does not unpack to more than memory may hold.

    Large row groups are none: what counts is the share of a run in its group, by the average row.

    Raises:
        InputError: it does.
    """
    first, rows = run
    held, start = 0.0, 0
    for index in range(footer.num_row_groups):
        group = footer.row_group(index)
        overlap = min(first + rows, start + group.num_rows) - max(first, start)
        start += group.num_rows
        if overlap > 0:
            chunks = map(group.column, range(group.num_columns))
            wanted = (chunk for chunk in chunks if _is_of(chunk.path_in_schema, columns))
            held += sum(chunk.total_uncompressed_size for chunk in wanted) * overlap / group.num_rows
    if held > MOST_SLICE_BYTES:
        fitting = int(rows * MOST_SLICE_BYTES / held)
        advice = f"set tuning.rows_per_slice to {fitting:,}" if fitting else "leave them out"
        raise InputError(
            f"{path!r}: rows {first:,} to {first + rows - 1:,} unpack to {held / 2**30:.1f} GiB, "
            f"more than the {MOST_SLICE_BYTES >> 30} GiB of a slice; {advice}"
        )


def _is_of(leaf: str, columns: Sequence[str]) -> bool:
    """Tell whether a leaf of the file's schema belongs to one of the columns."""
    return any(leaf == name or leaf.startswith(f"{name}.") for name in columns)


def _is_storage_fault(error: Exception) -> bool:
    """Tell a failing disk or network from damaged content, which Arrow also reports as an OSError, of no number."""
    signs = ("thrift", "arquet", "ecompress", "orrupt", "nexpected end of stream", "page", "ncrypt")
    return isinstance(error, OSError) and (error.errno is not None or not any(s in str(error) for s in signs))


def _run_of(batches: Any, skip: int, rows: int) -> list[pa.RecordBatch]:
    kept = []
    for batch in batches:
        part = batch.slice(skip, rows)
        skip = max(skip - batch.num_rows, 0)
        rows -= part.num_rows
        if part.num_rows:
            kept.append(part)
        if not rows:
            break
    return kept
