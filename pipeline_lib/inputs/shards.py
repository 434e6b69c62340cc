"""Shards, which are files of the input, and the slices that they are cut into."""

from dataclasses import dataclass
from itertools import repeat
from typing import Literal, NamedTuple

import pyarrow as pa

from pipeline_lib.storage.location import FileStamp

Format = Literal["parquet", "csv", "jsonl"]

COMPRESSIONS = (".gz", ".bz2", ".zst")
"""Endings of compressed files of lines, behind that of their format."""
_FILES_OF_LINES: dict[str, Format] = {".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
FORMATS: dict[str, Format] = {
    ".parquet": "parquet",
    ".parq": "parquet",
    ".pq": "parquet",
    **_FILES_OF_LINES,
    **{f"{ending}{packed}": kind for ending, kind in _FILES_OF_LINES.items() for packed in COMPRESSIONS},
}
READABLE = ".parquet, .parq, .pq, .csv, .tsv, .jsonl, .ndjson, or one of the last four with .gz, .bz2 or .zst"
"""`FORMATS` in words, for messages."""


MOST_COLUMNS = 10_000
MOST_PLANS = 63
"""Most plans that may share a slice; bits of a signed number of 64 bits."""
MOST_SLICE_BYTES = 1 << 30
"""Most bytes that a slice may have in its file; to work on it takes several times as much memory."""


@dataclass(frozen=True, slots=True)
class Slice:
    """A fixed run of rows of one shard: the unit of work, of resume and of one output file."""

    shard: int
    """Number of the shard in the manifest."""
    first_row: int
    rows: int
    offset: int = 0
    """Of CSV and JSON Lines: bytes before the first row, in the unpacked file."""
    line: int = 0
    """Of CSV and JSON Lines: lines before the first row."""
    night: int = 0
    """Number of its plan among those that are carried out together."""
    also: int = 0
    """Further plans that take the same rows, as one number: bit k stands for plan `night + k`."""

    @property
    def key(self) -> tuple[int, int, int]:
        """What tells this slice from all others of the plans that are carried out together."""
        return self.night, self.shard, self.first_row

    @property
    def plans(self) -> list[int]:
        """The numbers of all its plans, the first one first."""
        return [self.night, *(self.night + bit for bit in range(1, self.also.bit_length()) if self.also >> bit & 1)]

    @property
    def name(self) -> str:
        """The name of this slice's files, without an ending."""
        return f"part-{self.shard:05d}-{self.first_row:09d}"


class ShardHeader(NamedTuple):
    """What a shard's footer or first line tells, or all of a JSON Lines file, whose lines may differ in keys."""

    schema: pa.Schema
    rows: int | None
    """None for a CSV file, whose rows are known only once it is read through."""
    slice_offsets: tuple[tuple[int, int], ...] = ()
    """See `Shard`, as for what follows."""
    unit_starts: tuple[int, ...] = ()


class Contents(NamedTuple):
    """What a Parquet file's footer tells, or a file of lines that was read through."""

    schema: pa.Schema
    rows: int
    slice_offsets: tuple[tuple[int, int], ...] = ()
    """Of CSV and JSON Lines: (offset, line) of every slice's first row."""
    unit_starts: tuple[int, ...] = ()
    """See `Shard`."""


@dataclass(frozen=True, slots=True)
class Shard:
    """An input file as it was when the plan was made."""

    number: int
    path: str
    format: Format
    stamp: FileStamp
    """Shows whether the file is still the one that was planned."""
    content: str
    """Its ETag or SHA-256, by which a later run knows the same file again."""
    rows: int
    columns: tuple[str, ...]
    """Names in the file's own order; a CSV reader needs them all."""
    rows_per_slice: int
    slice_offsets: tuple[tuple[int, int], ...] = ()
    """Of CSV and JSON Lines: (offset, line) of every slice's first row; empty if the plan has no work here."""
    unit_starts: tuple[int, ...] = ()
    """First rows of the units that can only be decoded from their start, such as row groups; empty if each slice
    can be read alone, or if the plan has no work in this shard."""
    schema: str = ""
    """The columns as Arrow writes a schema, in base64; for the manifest."""

    @property
    def slices(self) -> list[Slice]:
        """The slices, in order; computed at each access, since there may be millions."""
        return cut_slices(self.number, self.rows, self.rows_per_slice, self.slice_offsets)

    @property
    def starts(self) -> range:
        """First rows of the slices."""
        return slice_starts(self.rows, self.rows_per_slice)

    def has_slice(self, first_row: int, rows: int) -> bool:
        """Tell whether these rows are one of the slices."""
        return first_row in self.starts and rows == min(self.rows_per_slice, self.rows - first_row)


def slice_starts(rows: int, rows_per_slice: int) -> range:
    """Return the first rows of slices; a shard without rows has one empty slice, so that it too has a part."""
    return range(0, max(rows, 1), rows_per_slice)


def cut_slices(
    number: int, rows: int, rows_per_slice: int, slice_offsets: tuple[tuple[int, int], ...] = ()
) -> list[Slice]:
    """Return the slices of a shard.

    Args:
        number: the shard's.
        rows: rows of the shard.
        rows_per_slice: rows of all slices but the last.
        slice_offsets: of CSV and JSON Lines: (offset, line) of every slice's first row.
    """
    starts = slice_starts(rows, rows_per_slice)
    return [
        Slice(number, start, min(rows_per_slice, rows - start), *mark)
        for start, mark in zip(starts, slice_offsets or repeat((0, 0), len(starts)), strict=True)
    ]


def is_shard(path: str) -> bool:
    """Tell whether a file's name is that of a shard."""
    return path.lower().endswith(tuple(FORMATS))


def is_compressed(path: str) -> bool:
    """Tell whether a file of lines must be unpacked from its start to be read."""
    return path.lower().endswith(COMPRESSIONS)


def format_of(path: str) -> Format:
    """Return the format that a shard's name tells."""
    return next(kind for ending, kind in FORMATS.items() if path.lower().endswith(ending))
