"""One door to the shards of every format: look at one, and read a slice of one."""

from collections.abc import Sequence

import pyarrow as pa

from pipeline_lib.inputs import columns
from pipeline_lib.inputs.formats import csv_shards, parquet_shards
from pipeline_lib.inputs.shards import Contents, Format, Shard, Slice
from pipeline_lib.settings.settings import CsvSettings
from pipeline_lib.storage.urls import location_of


def head_of(path: str, kind: Format, settings: CsvSettings) -> tuple[pa.Schema, int | None]:
    """Return a shard's columns from its footer or header alone, and its rows if that tells them."""
    file = location_of(path)
    if kind == "parquet":
        contents = parquet_shards.inspect(file)
        return contents.schema, contents.rows
    return csv_shards.read_header(file, settings), None


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
        for name, kind in (
            (columns.LINE, pa.int64()),
            (columns.REJECT_CODE, pa.string()),
            (columns.REJECT_MESSAGE, pa.string()),
        ):
            table = table.append_column(name, pa.nulls(part.rows, kind))
    else:
        table = csv_shards.read_rows(file, part, names, settings)
    numbers = pa.array(range(part.first_row, part.first_row + part.rows), pa.int64())
    return table.append_column(columns.ROW, numbers)
