"""CSV and TSV shards, compressed or not: their header, their number of rows, and the rows of a slice."""

from collections import Counter
from collections.abc import Sequence
from typing import IO

import pyarrow as pa

from pipeline_lib.errors import InputError
from pipeline_lib.inputs.column_names import quoted_columns
from pipeline_lib.inputs.formats.csv_files.csv_blocks import Scanner
from pipeline_lib.inputs.formats.csv_files.csv_marks import Marks, Position
from pipeline_lib.inputs.formats.csv_files.csv_records import Records
from pipeline_lib.inputs.formats.csv_files.csv_scan import Large, OpenFile, count_records
from pipeline_lib.inputs.formats.csv_files.csv_tables import ARROW_TYPES, checked, has_lost_bytes, to_table
from pipeline_lib.inputs.formats.text_files import OpenLines, opened
from pipeline_lib.inputs.shards import COMPRESSIONS, MOST_COLUMNS, Contents, Slice, is_compressed
from pipeline_lib.settings.sections.input import CsvSettings
from pipeline_lib.storage.location import Location


def inspect(shard: Location, settings: CsvSettings, rows_per_slice: int) -> Contents:
    """Read a shard through once: its header, how many rows it has, and where its slices start.

    Raises:
        InputError: there is no header, a name in it repeats, a quote never closes, the encoding is wrong, lines end
            in bare carriage returns, or a slice would hold too much.
    """
    path = shard.path
    scanner = Scanner(_delimiter(path, settings), settings.encoding)
    with opened(shard, "whole") as file:
        records = _records(file, path, settings)
        schema = _schema(records.header(), path, settings)
        marks = Marks(path, rows_per_slice, Position(*records.position))

        def records_from(position: Position) -> Records:
            return _records(file, path, settings, start=position)

        count_records(OpenFile(file, scanner, records_from, _large(shard)), marks)
    rows, undecodable = marks.rows, marks.undecodable
    # A few damaged rows become rejects; when most are unreadable it is the setting that is wrong.
    if undecodable * 2 > rows:
        raise InputError(
            f"{path!r} is not {settings.encoding}: {undecodable:,} of {rows:,} rows don't decode; "
            "set input.csv.encoding"
        )
    return Contents(schema, rows, tuple(marks.slice_offsets), unit_starts=(0,) if is_compressed(path) else ())


def read_header(shard: Location, settings: CsvSettings) -> pa.Schema:
    """Return the columns of a shard, reading no more than its first record.

    Raises:
        InputError: there is no header, it has too many names, or one repeats.
    """
    path = shard.path
    with opened(shard, "slice") as file:
        return _schema(_records(file, path, settings).header(), path, settings)


class CsvRows:
    """Slices of an open shard.

    Args:
        shard: the file.
        names: of the wanted columns.
        settings: of CSV files.

    Raises:
        InputError: the header can't be read.
    """

    def __init__(self, shard: Location, names: Sequence[str], settings: CsvSettings) -> None:
        self._path, self._names, self._settings = shard.path, names, settings
        self._lines = OpenLines(shard)
        try:
            self._schema = _schema(self._records(self._lines.file).header(), shard.path, settings)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._lines.close()

    def __call__(self, part: Slice) -> pa.Table:
        """Return the named columns of a slice, its line numbers, and the rejects among its rows.

        Raises:
            InputError: the file has fewer rows than it had when it was planned.
        """
        rows = [checked(record, self._schema) for record in self._lines.taken(part, self._records)]
        return to_table(rows, self._schema, self._names)

    def _records(self, file: IO[bytes], start: tuple[int, int] = (0, 0)) -> Records:
        return _records(file, self._path, self._settings, start)


def _records(file: IO[bytes], path: str, settings: CsvSettings, start: tuple[int, int] = (0, 0)) -> Records:
    return Records(file, path, settings.encoding, _delimiter(path, settings), start=start)


def _delimiter(path: str, settings: CsvSettings) -> str:
    if settings.delimiter:
        return settings.delimiter
    return "\t" if path.lower().endswith((".tsv", *(f".tsv{packed}" for packed in COMPRESSIONS))) else ","


def _large(shard: Location) -> Large | None:
    """Return how a file is read by several threads; a compressed one can only be read from its start."""
    if is_compressed(shard.path):
        return None
    return Large.of(lambda start, end: shard.fs.cat_file(shard.path, start, end), shard.fs.size(shard.path))


def _schema(header: list[str], path: str, settings: CsvSettings) -> pa.Schema:
    if len(header) > MOST_COLUMNS:
        raise InputError(
            f"{path!r}: the header names {len(header):,} columns, {MOST_COLUMNS:,} at most can be read"
        )
    repeated = [name for name, count in Counter(header).items() if count > 1]
    if repeated:
        raise InputError(f"{path!r}: the header names {quoted_columns(*repeated[:3])} more than once")
    if any(map(has_lost_bytes, header)):
        raise InputError(f"{path!r}: the header is not {settings.encoding}; set input.csv.encoding")
    types = settings.column_types
    return pa.schema([(name, ARROW_TYPES[types.get(name, "string")]) for name in header])
