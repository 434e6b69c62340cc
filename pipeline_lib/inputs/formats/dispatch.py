"""Choice of the reader by a shard's format: for its header, its contents, or one of its slices."""

from collections.abc import Sequence

import pyarrow as pa

from pipeline_lib.inputs import columns
from pipeline_lib.inputs.formats import csv_shards, parquet_shards
from pipeline_lib.inputs.shards import Contents, Format, Shard, ShardHeader, Slice
from pipeline_lib.settings.settings import CsvSettings
from pipeline_lib.storage.urls import location_of


def read_header(path: str, kind: Format, settings: CsvSettings) -> ShardHeader:
    """Return a shard's columns, and its rows if its footer tells them, without reading the rest."""
    file = location_of(path)
    if kind == "parquet":
        contents = parquet_shards.inspect(file)
        return ShardHeader(contents.schema, contents.rows)
    return ShardHeader(csv_shards.read_header(file, settings), None)


def inspect(path: str, kind: Format, settings: CsvSettings, rows_per_slice: int) -> Contents:
    """Return a shard's columns and rows, and where its slices start."""
    file = location_of(path)
    if kind == "parquet":
        return parquet_shards.inspect(file)
    return csv_shards.inspect(file, settings, rows_per_slice)


def read_slice(shard: Shard, part: Slice, names: Sequence[str], settings: CsvSettings) -> pa.Table:
    """Return the named columns of a slice with each row's number, line (CSV) and reject (or null)."""
    file = location_of(shard.path)
    if shard.format == "parquet":
        table = parquet_shards.read_rows(file, (part.first_row, part.rows), names)
    else:
        table = csv_shards.read_rows(file, part, names, settings)
    return columns.numbered(table, part.first_row)
