"""Choice of the reader by a shard's format: for its header, its contents, or its slices."""

from collections.abc import Sequence
from typing import Protocol

import pyarrow as pa

from pipeline_lib.inputs import columns
from pipeline_lib.inputs.formats import parquet_shards
from pipeline_lib.inputs.formats.csv_files import csv_shards
from pipeline_lib.inputs.formats.csv_files.csv_shards import CsvRows
from pipeline_lib.inputs.formats.json_files import json_shards
from pipeline_lib.inputs.formats.json_files.json_shards import JsonRows
from pipeline_lib.inputs.formats.parquet_shards import ParquetRows
from pipeline_lib.inputs.shard_schemas import decoded, encoded
from pipeline_lib.inputs.shards import Contents, Format, Shard, ShardHeader, Slice, format_of
from pipeline_lib.settings.sections.input import CsvSettings
from pipeline_lib.storage.urls import location_of


def read_header(path: str, kind: Format, settings: CsvSettings, rows_per_slice: int) -> ShardHeader:
    """Return a shard's columns, and its rows if its footer tells them; only JSON Lines are read through."""
    if kind == "csv":
        return ShardHeader(csv_shards.read_header(location_of(path), settings), None)
    return ShardHeader(*inspect(path, kind, settings, rows_per_slice))


def inspect(path: str, kind: Format, settings: CsvSettings, rows_per_slice: int) -> Contents:
    """Return a shard's columns and rows, and where its slices start."""
    file = location_of(path)
    if kind == "parquet":
        return parquet_shards.inspect(file)
    if kind == "jsonl":
        return json_shards.inspect(file, rows_per_slice)
    return csv_shards.inspect(file, settings, rows_per_slice)


def lone_shard(path: str, settings: CsvSettings, rows_per_slice: int) -> Shard:
    """Return a shard that belongs to no job: where it is read for itself, its number and its hash do not matter.

    Raises:
        InputError: it can't be read.
    """
    kind = format_of(path)
    contents = inspect(path, kind, settings, rows_per_slice)
    return Shard(
        number=0,
        path=path,
        format=kind,
        stamp=location_of(path).stamp(),
        content="",
        rows=contents.rows,
        columns=tuple(contents.schema.names),
        rows_per_slice=rows_per_slice,
        slice_offsets=contents.slice_offsets,
        unit_starts=contents.unit_starts,
        schema=encoded(contents.schema),
    )


class Rows(Protocol):
    """The rows of an open shard."""

    def __call__(self, part: Slice) -> pa.Table:
        """Return the wanted columns of a slice."""

    def close(self) -> None:
        """Close the shard."""


class ShardRows:
    """Slices of an open shard; cheapest in their order, since each byte is decoded once then.

    Args:
        shard: the file.
        names: of the wanted columns.
        settings: of CSV files.

    Raises:
        InputError: the shard can't be read.
    """

    def __init__(self, shard: Shard, names: Sequence[str], settings: CsvSettings) -> None:
        file = location_of(shard.path)
        self._rows: Rows
        if shard.format == "parquet":
            self._rows = ParquetRows(file, names)
        elif shard.format == "jsonl":
            self._rows = JsonRows(file, names, decoded(shard.schema))
        else:
            self._rows = CsvRows(file, names, settings)

    def __call__(self, part: Slice) -> pa.Table:
        """Return the named columns of a slice with each row's number, line (of lines) and reject (or null).

        Raises:
            InputError: the shard can't be read.
        """
        return columns.numbered(self._rows(part), part.first_row)

    def close(self) -> None:
        """Close the shard."""
        self._rows.close()
