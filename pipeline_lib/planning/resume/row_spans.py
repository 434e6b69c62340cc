"""Some rows of a Parquet file, of which no more is read than the row groups that they are in."""

import threading
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline_lib.storage.location import Location


class Span(NamedTuple):
    """Some rows of a Parquet file, one after another."""

    file: str
    """Name below the output folder."""
    first: int
    """Number of the first row in the file."""
    rows: int
    sha256: str
    """Of the file."""


class RowGroups(threading.local):
    """The row groups that this thread read last, to take further rows from."""

    def __init__(self) -> None:
        self._read: tuple[tuple[str, ...], int, pa.Table] = ((), 0, pa.table({}))

    def rows(self, output: Location, span: Span, names: list[str]) -> pa.Table:
        """Return columns of some rows; only the row groups are read that have any.

        Args:
            output: the output folder.
            span: the rows.
            names: of the columns.

        Raises:
            OSError: the file can't be read.
        """
        key, (read, first, table) = (span.sha256, *names), self._read
        if key != read or span.first < first or span.first + span.rows > first + table.num_rows:
            with (output / span.file).open() as content, pq.ParquetFile(content) as parquet:
                groups, first = _groups_with(span, parquet.metadata)
                table = parquet.read_row_groups(groups, columns=names)
            self._read = (key, first, table)
        return table.slice(span.first - first, span.rows)


def _groups_with(span: Span, metadata: pq.FileMetaData) -> tuple[list[int], int]:
    """Return the numbers of the row groups that have rows of a span, and the number of their first row."""
    starts = [0]
    for group in range(metadata.num_row_groups):
        starts.append(starts[-1] + metadata.row_group(group).num_rows)
    end = span.first + span.rows
    groups = [at for at in range(metadata.num_row_groups) if starts[at] < end and span.first < starts[at + 1]]
    return groups, starts[groups[0]] if groups else span.first
