"""Parquet shards: their footer, and any run of their rows without reading the rest into memory."""

import contextlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline_lib.errors import InputError
from pipeline_lib.inputs.shards import MOST_COLUMNS, MOST_SLICE_BYTES, Contents, Slice
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
                schema = footer.schema.to_arrow_schema().remove_metadata()
                return Contents(schema, footer.num_rows, unit_starts=tuple(group_starts(footer)))
        except (pa.ArrowException, OSError, ValueError) as error:
            if _is_storage_fault(error):
                raise
            reason = str(error).splitlines()[0]
            raise InputError(f"{path!r} is not a whole Parquet file: {reason}") from error


class ParquetRows:
    """Slices of an open shard; one that follows another goes on where that ended, so that no page is decoded twice.

    Args:
        shard: the file.
        columns: names of the wanted ones.

    Raises:
        InputError: the footer can't be read.
    """

    def __init__(self, shard: Location, columns: Sequence[str]) -> None:
        self._path, self._columns = shard.path, list(columns)
        with translated_errors(shard.path, "opening the shard"):
            self._handle = _opened(shard)
        try:
            with _damage_named(shard.path, 0):
                self._footer = pq.read_metadata(self._handle)
        except BaseException:
            self._handle.close()
            raise
        self._starts = group_starts(self._footer)
        self._batches: Iterator[pa.RecordBatch] = iter(())
        self._rest: pa.RecordBatch | None = None
        self._at = self._fetched = self._group = 0

    def close(self) -> None:
        """Close the file."""
        self._batches, self._rest = iter(()), None
        self._handle.close()

    def __call__(self, part: Slice) -> pa.Table:
        """Return the rows of a slice, with their exact types.

        Raises:
            InputError: the pages can't be read, or the file ends early.
        """
        first, rows = part.first_row, part.rows
        with _damage_named(self._path, first):
            _refuse_bomb(self._path, (first, rows), self._footer, self._columns)
            batches = list(self._batches_of(first, first + rows))
            schema = self._footer.schema.to_arrow_schema()
            schema = pa.schema([schema.field(name) for name in self._columns])
            table = pa.Table.from_batches(batches, schema) if batches else schema.empty_table()
        if self._columns and table.num_rows != rows:
            raise InputError(f"{self._path!r} has {table.num_rows:,} rows from row {first:,} on, expected {rows:,}")
        return table.replace_schema_metadata(None)

    def _batches_of(self, first: int, end: int) -> Iterator[pa.RecordBatch]:
        """Yield the rows from one to another; those between the last ones and these are decoded and dropped."""
        if not self._at <= first < self._fetched:
            self._seek(first)
        while self._at < end:
            batch, self._rest = self._rest or next(self._batches, None), None
            if batch is None:
                if self._fetched >= self._footer.num_rows:
                    return
                self._fetch(end)
                continue
            begin, stop = self._at, self._at + batch.num_rows
            if stop > end:
                self._rest = batch.slice(end - begin)
            self._at = min(stop, end)
            if self._at > first:
                skipped = max(first - begin, 0)
                yield batch.slice(skipped, self._at - begin - skipped)

    def _seek(self, row: int) -> None:
        """Begin anew at the row group of a row."""
        self._group = max(bisect_right(self._starts, row) - 1, 0)
        self._at = self._fetched = self._starts[self._group] if self._starts else 0
        self._batches, self._rest = iter(()), None

    def _fetch(self, end: int) -> None:
        """Begin with the next row groups, up to the one with the last row before `end`."""
        after = max(bisect_left(self._starts, end), self._group + 1)
        groups, self._group = list(range(self._group, after)), after
        self._fetched = self._starts[after] if after < len(self._starts) else self._footer.num_rows
        at_once = _bytes_of(self._footer, groups, self._columns) <= _FETCHED_AT_ONCE
        file = pq.ParquetFile(self._handle, metadata=self._footer, pre_buffer=at_once, buffer_size=_BUFFER_BYTES)
        self._batches = file.iter_batches(_BATCH_ROWS, groups, self._columns)


def group_starts(footer: pq.FileMetaData) -> list[int]:
    """Return the first row of each row group."""
    rows = [footer.row_group(index).num_rows for index in range(footer.num_row_groups)]
    return list(accumulate(rows, initial=0))[:-1]


@contextlib.contextmanager
def _damage_named(path: str, row: int) -> Iterator[None]:
    """Turn what Arrow raises for damaged content into an error that names the place."""
    with translated_errors(path, "reading Parquet rows"):
        try:
            yield
        except (pa.ArrowException, OSError) as error:
            if _is_storage_fault(error):
                raise
            raise InputError(f"{path!r}: damaged near row {row:,}: {str(error).splitlines()[0]}") from error


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
