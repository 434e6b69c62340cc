"""CSV shards for tests, and their rows as the job reads them."""

from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from pipeline_lib.inputs.formats.csv_files import csv_shards
from pipeline_lib.inputs.shards import cut_slices
from pipeline_lib.settings.sections.input import CsvSettings
from pipeline_lib.storage.urls import location_of
from tests.bad_inputs.bad_rows import CSV_ROWS
from tests.helpers.compressed import compressed

UTF8 = CsvSettings()
BAD_ROWS = st.lists(st.sampled_from([row.raw for row in CSV_ROWS if row.raw and len(row.raw) < 1000])).map(b"".join)
"""Rows of every bad kind, in any order; a last line without an end runs into the next row."""


def read(path: Path, rows_per_slice: int = 2, settings: CsvSettings = UTF8) -> list[dict[str, Any]]:
    """Read a shard slice by slice, as the job does."""
    contents = csv_shards.inspect(location_of(str(path)), settings, rows_per_slice)
    names = contents.schema.names
    slices = cut_slices(0, contents.rows, rows_per_slice, contents.slice_offsets)
    read_rows = csv_shards.CsvRows(location_of(str(path)), names, settings)
    tables = [read_rows(part) for part in slices]
    read_rows.close()
    rows: list[dict[str, Any]] = pa.concat_tables(tables).to_pylist()
    assert len(rows) == contents.rows
    return rows


def shard(folder: Path, content: str | bytes, name: str = "a.csv") -> Path:
    path = folder / name
    raw = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(compressed(raw, name))
    return path
