"""CSV and TSV shards, gzipped or not: their header, their rows counted, and any run of their rows.

The standard library's reader serves here: it tells the line of every record and goes on after a bad one.
"""

import contextlib
import csv
import gzip
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline_lib import columns
from pipeline_lib.config import CsvSettings
from pipeline_lib.errors import InputError, listed
from pipeline_lib.shards import Contents, Slice
from pipeline_lib.storage import faults_named

_ARROW_TYPES: dict[str, pa.DataType] = {
    "string": pa.string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "date32": pa.date32(),
    "timestamp": pa.timestamp("us"),
    "timestamp_utc": pa.timestamp("us", "UTC"),  # for texts with an offset or a Z
}


@dataclass
class _Record:
    fields: list[str]
    offset: int
    line: int
    """Lines before the record."""
    fault: tuple[str, str] | None = None
    """Reject code and message of a record that is none."""


def inspect(fs: Any, path: str, settings: CsvSettings, rows_per_slice: int) -> Contents:
    """Read a shard through once: its header, how many rows it has, and where its slices start.

    Raises:
        InputError: there is no header, a name in it repeats, a quote never closes, or the encoding is wrong.
    """
    marks, rows, undecodable = [], 0, 0
    with _opened(fs, path) as file:
        records = _Records(file, path, settings)
        schema = _schema(records.header(), path, settings)
        for record in records:
            if rows % rows_per_slice == 0:
                marks.append((record.offset, record.line))
            rows += 1
            undecodable += any(map(_has_lost_bytes, record.fields))
    # A few damaged rows become rejects; when most are unreadable it is the setting that is wrong.
    if undecodable * 2 > rows:
        raise InputError(
            f"{path!r} is not {settings.encoding}: {undecodable:,} of {rows:,} rows don't decode; "
            "set input.csv.encoding"
        )
    return Contents(schema, rows, tuple(marks))


def read_header(fs: Any, path: str, settings: CsvSettings) -> pa.Schema:
    """Return the columns of a shard, reading no more than its first record.

    Raises:
        InputError: there is no header, or a name in it repeats.
    """
    with _opened(fs, path) as file:
        return _schema(_Records(file, path, settings).header(), path, settings)


def read_rows(fs: Any, path: str, part: Slice, names: Sequence[str], settings: CsvSettings) -> pa.Table:
    """Return the named columns of a slice, its line numbers, and the rejects among its rows.

    Raises:
        InputError: the file has fewer rows than it had when it was planned.
    """
    with _opened(fs, path) as file:
        schema = _schema(_Records(file, path, settings).header(), path, settings)
        file.seek(part.offset)
        records = _Records(file, path, settings, start=(part.offset, part.line))
        rows = list(islice(records, part.rows))
    if len(rows) != part.rows:
        found = f"{len(rows):,} rows from row {part.first_row:,} on, expected {part.rows:,}"
        raise InputError(f"{path!r} has {found}: did it change?")
    return _to_table(rows, schema, names)


class _Records:
    """The records of an open file, each knowing where it starts; a malformed one has a fault, and is no error."""

    def __init__(self, file: IO[bytes], path: str, settings: CsvSettings, start: tuple[int, int] = (0, 0)) -> None:
        self._file, self._path, self._encoding = file, path, settings.encoding
        self._offset, self._line = start
        delimiter = settings.delimiter or ("\t" if path.lower().endswith((".tsv", ".tsv.gz")) else ",")
        csv.field_size_limit(sys.maxsize)
        self._reader = csv.reader(self._lines(), delimiter=delimiter, strict=True)

    def header(self) -> list[str]:
        """Take the first record, which names the columns."""
        first = next(iter(self), None)
        if first is None or first.fault:
            raise InputError(
                f"{self._path!r} has no header: {first.fault[1] if first and first.fault else 'empty'}"
            )
        return first.fields

    def __iter__(self) -> Iterator[_Record]:
        while True:
            offset, line = self._offset, self._line
            try:
                fields = next(self._reader)
            except StopIteration:
                return
            except csv.Error as error:
                if "unexpected end of data" in str(error):
                    raise InputError(
                        f"{self._path!r}: the quote opened in line {line + 1:,} never closes"
                    ) from None
                if "new-line character" in str(error):
                    raise InputError(
                        f"{self._path!r}: lines end in bare carriage returns; use \\n or \\r\\n"
                    ) from None
                yield _Record([], offset, line, ("malformed", f"line {line + 1}: {error}"))
                continue
            if fields:  # a blank line is no record
                yield _Record(fields, offset, line)

    def _lines(self) -> Iterator[str]:
        for raw in self._file:
            content = raw.removeprefix(b"\xef\xbb\xbf") if self._offset == 0 else raw
            self._offset += len(raw)
            self._line += 1
            # Bytes that don't decode become lone surrogates, which no decoded text holds.
            yield content.decode(self._encoding, errors="surrogateescape")


@contextlib.contextmanager
def _opened(fs: Any, path: str) -> Iterator[IO[bytes]]:
    with faults_named(path, "reading CSV"):
        try:
            with fs.open(path, "rb", compression="infer") as file:
                yield file
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise InputError(f"{path!r} is not a whole gzip file: {error}") from error


def _schema(header: list[str], path: str, settings: CsvSettings) -> pa.Schema:
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise InputError(f"{path!r}: the header names {listed(repeated)} more than once")
    if any(map(_has_lost_bytes, header)):
        raise InputError(f"{path!r}: the header is not {settings.encoding}; set input.csv.encoding")
    types = settings.column_types
    return pa.schema([(name, _ARROW_TYPES[types.get(name, "string")]) for name in header])


def _to_table(rows: list[_Record], schema: pa.Schema, names: Sequence[str]) -> pa.Table:
    for row in rows:
        row.fault = row.fault or _fault(row, schema)
    blank = [""] * len(schema)
    whole = [blank if row.fault else row.fields for row in rows]
    arrays = {}
    for name in names:
        at = schema.get_field_index(name)
        texts = pa.array([fields[at] for fields in whole], pa.string())
        arrays[name] = _typed(texts, schema.field(name), rows)
    valid = pa.array([row.fault is None for row in rows])
    arrays = {name: pc.if_else(valid, array, pa.scalar(None, array.type)) for name, array in arrays.items()}
    arrays[columns.LINE] = pa.array([row.line + 1 for row in rows], pa.int64())
    arrays[columns.REJECT_CODE] = pa.array([row.fault and row.fault[0] for row in rows], pa.string())
    arrays[columns.REJECT_MESSAGE] = pa.array([row.fault and row.fault[1] for row in rows], pa.string())
    return pa.table(arrays)


def _fault(row: _Record, schema: pa.Schema) -> tuple[str, str] | None:
    if len(row.fields) != len(schema):
        return "ragged", f"line {row.line + 1} has {len(row.fields)} fields, the header has {len(schema)}"
    if any(map(_has_lost_bytes, row.fields)):
        return "not_decodable", f"line {row.line + 1} holds bytes that the encoding does not have"
    return None


def _typed(texts: pa.Array, field: pa.Field, rows: list[_Record]) -> pa.Array:
    """Return a column in its declared type; a value that is none of it makes its row a reject."""
    if pa.types.is_string(field.type):
        return texts
    filled = pc.if_else(pc.equal(texts, ""), None, texts)
    try:
        return filled.cast(field.type)
    except pa.ArrowInvalid:
        return pa.concat_arrays([_cast_one(filled[at : at + 1], field, row) for at, row in enumerate(rows)])


def _cast_one(text: pa.Array, field: pa.Field, row: _Record) -> pa.Array:
    try:
        return text.cast(field.type)
    except pa.ArrowInvalid:
        row.fault = ("bad_value", f"line {row.line + 1}: column {field.name!r} holds no {field.type}")
        return pa.nulls(1, field.type)


def _has_lost_bytes(text: str) -> bool:
    return not text.isascii() and any("\udc80" <= character <= "\udcff" for character in text)
