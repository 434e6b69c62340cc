"""What the flow knows of its input: shards, and the slices they are cut into."""

from dataclasses import dataclass
from itertools import repeat
from typing import Literal

import pyarrow as pa

from pipeline_lib.storage.location import FileStamp

Format = Literal["parquet", "csv"]

# Longest first, so that .csv.gz is not taken for an unknown .gz.
FORMATS: dict[str, Format] = {
    ".parquet": "parquet",
    ".parq": "parquet",
    ".pq": "parquet",
    ".csv.gz": "csv",
    ".tsv.gz": "csv",
    ".csv": "csv",
    ".tsv": "csv",
}


MOST_COLUMNS = 10_000
MOST_SLICE_BYTES = 1 << 30
"""What a slice may hold in its file's own form; several times as much is needed to work on it."""


@dataclass(frozen=True, slots=True)
class Slice:
    """A fixed run of rows of one shard: the unit of work, of resume and of one output file."""

    shard: int
    """Number of the shard in the manifest."""
    first_row: int
    rows: int
    offset: int = 0
    """CSV: bytes before the first row, in the unpacked file."""
    line: int = 0
    """CSV: lines before the first row."""

    @property
    def name(self) -> str:
        """The name of this slice's files, without an ending."""
        return f"part-{self.shard:05d}-{self.first_row:09d}"


@dataclass(frozen=True, slots=True)
class Contents:
    """What a look at a shard's footer or header tells: its columns, its rows, and where slices can start."""

    schema: pa.Schema
    rows: int
    marks: tuple[tuple[int, int], ...] = ()
    """CSV: (offset, line) of every slice's first row."""


@dataclass(frozen=True, slots=True)
class Shard:
    """An input file as it was when the plan was made."""

    number: int
    path: str
    format: Format
    stamp: FileStamp
    """Tells whether it is still the file that was planned."""
    content: str
    """Its ETag or SHA-256: what tells it from any other, also another day."""
    rows: int
    columns: tuple[str, ...]
    """Names in the file's own order; a CSV reader needs them all."""
    rows_per_slice: int
    marks: tuple[tuple[int, int], ...] = ()
    """CSV: (offset, line) of every slice's first row; none where all slices stood when the plan was made."""
    schema: str = ""
    """The columns as Arrow writes a schema, in base64; for the manifest."""

    @property
    def slices(self) -> list[Slice]:
        """The slices, in order; made when asked for, since there may be millions."""
        return cut(self.number, self.rows, self.rows_per_slice, self.marks)

    @property
    def starts(self) -> range:
        """First rows of the slices, which tell their number too without making any."""
        return starts_of(self.rows, self.rows_per_slice)

    def has(self, first_row: int, rows: int) -> bool:
        """Tell whether this run of rows is one of the slices, without making them."""
        return first_row in self.starts and rows == min(self.rows_per_slice, self.rows - first_row)


def starts_of(rows: int, rows_per_slice: int) -> range:
    """Return the first rows of slices; a shard without rows has one empty slice, so that it leaves a trace."""
    return range(0, max(rows, 1), rows_per_slice)


def cut(number: int, rows: int, rows_per_slice: int, marks: tuple[tuple[int, int], ...] = ()) -> list[Slice]:
    """Return the slices of a shard.

    Args:
        number: the shard's.
        rows: rows of the shard.
        rows_per_slice: rows of all slices but the last.
        marks: CSV: (offset, line) of every slice's first row.
    """
    starts = starts_of(rows, rows_per_slice)
    return [
        Slice(number, start, min(rows_per_slice, rows - start), *mark)
        for start, mark in zip(starts, marks or repeat((0, 0), len(starts)), strict=True)
    ]


def is_shard(path: str) -> bool:
    """Tell whether a file's name is that of a shard."""
    return path.lower().endswith(tuple(FORMATS))


def format_of(path: str) -> Format:
    """Return the format that a shard's name tells."""
    return next(kind for ending, kind in FORMATS.items() if path.lower().endswith(ending))
