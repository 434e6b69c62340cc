"""Parquet shards: any run of rows, with exact types, without holding the rest."""

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.errors import InputError
from pipeline_lib.inputs.formats import parquet_shards
from pipeline_lib.inputs.formats.parquet_shards import ParquetRows
from pipeline_lib.inputs.shards import Slice, cut_slices
from pipeline_lib.storage.location import Location
from pipeline_lib.storage.urls import location_of
from tests.conftest import ROOT, write_parquet
from tests.helpers.stores.counted_files import ObjectStore


@pytest.fixture(scope="module")
def grouped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shard of 100 rows in row groups of 7, with an empty one among them."""
    path = tmp_path_factory.mktemp("parquet") / "a.parquet"
    table = pa.table({"row": range(100), "text": [f"text {row}" for row in range(100)]})
    with pq.ParquetWriter(path, table.schema) as writer:
        writer.write_table(table.slice(0, 50), row_group_size=7)
        writer.write_table(table.slice(0, 0))
        writer.write_table(table.slice(50), row_group_size=7)
    return path


@given(first=st.integers(0, 99), rows=st.integers(0, 100))
def test_any_run_of_rows_is_read_exactly(first: int, rows: int, grouped: Path) -> None:
    rows = min(rows, 100 - first)
    table = ParquetRows(location_of(str(grouped)), ["text", "row"])(Slice(0, first, rows))
    assert table.column_names == ["text", "row"]
    assert table.column("row").to_pylist() == list(range(first, first + rows))


@given(firsts=st.lists(st.integers(0, 99), max_size=12), rows=st.integers(0, 30))
def test_slices_of_an_open_shard_come_in_any_order(firsts: list[int], rows: int, grouped: Path) -> None:
    read_rows = ParquetRows(location_of(str(grouped)), ["row"])
    for first in firsts:
        part = Slice(0, first, min(rows, 100 - first))
        assert read_rows(part).column("row").to_pylist() == list(range(first, first + part.rows))
    read_rows.close()


def test_slice_after_slice_a_large_row_group_is_read_once(tmp_path: Path) -> None:
    path, rows = tmp_path / "a.parquet", 20_000
    texts = [bytes(row % 251 for row in range(start, start + 500)).hex() for start in range(rows)]
    table = pa.table({"row": range(rows), "text": texts})
    pq.write_table(table, path, row_group_size=rows, compression="none", use_dictionary=False)
    store = ObjectStore()
    read_rows = ParquetRows(Location(store, str(path)), ["row", "text"])
    parts = [read_rows(part) for part in cut_slices(0, rows, 1024)]
    assert pa.concat_tables(parts).equals(table)
    assert store.bytes_read <= 1.05 * path.stat().st_size


def test_a_run_beyond_the_end_is_an_error(grouped: Path) -> None:
    with pytest.raises(InputError, match="has 10 rows from row 90 on, expected 20"):
        ParquetRows(location_of(str(grouped)), ["row"])(Slice(0, 90, 20))


@pytest.mark.parametrize(
    "content", [b"", b"PAR1", b"not parquet at all, just text", b"PAR1" + b"\0" * 50 + b"PAR1"]
)
def test_what_is_no_parquet_file_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.parquet"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.parquet' is not a whole Parquet file"):
        parquet_shards.inspect(location_of(str(path)))


def test_damaged_pages_are_named(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", {"text": [f"text {row}" for row in range(1000)]})
    content = bytearray(path.read_bytes())
    content[4:400] = bytes(396)
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match="damaged near row 0"):
        ParquetRows(location_of(str(path)), ["text"])(Slice(0, 0, 1000))


@pytest.mark.slow
def test_memory_stays_flat_when_one_row_group_is_large(tmp_path: Path) -> None:
    """A slice of a 300 MB row group costs a small part of it; measured in a process of its own."""
    path = tmp_path / "a.parquet"
    texts = pa.array([f"{row} " * 100 for row in range(500_000)])
    pq.write_table(
        pa.table({"text": texts}), path, row_group_size=500_000, compression="none", use_dictionary=False
    )
    program = (
        "import resource, sys\n"
        "from pipeline_lib.storage.urls import location_of\n"
        "from pipeline_lib.inputs.formats.parquet_shards import ParquetRows\n"
        "from pipeline_lib.inputs.shards import Slice\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "read_rows = ParquetRows(location_of(sys.argv[1]), ['text'])\n"
        "assert read_rows(Slice(0, 400_000, 1000)).num_rows == 1000\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, str(path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    grown = int(ran.stdout) * 1024
    assert path.stat().st_size > 250e6
    assert grown < 100e6


def test_rows_that_unpack_to_more_than_a_slice_may_hold_are_refused_before_they_are_read(tmp_path: Path) -> None:
    """A file of a few hundred kilobytes whose 1,100 texts have a megabyte each."""
    path = tmp_path / "a.parquet"
    batch = pa.record_batch({"id": range(100), "text": ["a" * 1_000_000] * 100})
    with pq.ParquetWriter(path, batch.schema, compression="zstd", use_dictionary=False) as writer:
        for _ in range(11):
            writer.write_batch(batch)
    assert path.stat().st_size < 1e6
    with pytest.raises(InputError, match=r"rows 0 to 1,099 unpack to 1\.0 GiB.*set tuning\.rows_per_slice to 1,07"):
        ParquetRows(location_of(str(path)), ["id", "text"])(Slice(0, 0, 1100))
    assert ParquetRows(location_of(str(path)), ["text"])(Slice(0, 1000, 100)).num_rows == 100
    assert ParquetRows(location_of(str(path)), ["id"])(Slice(0, 0, 1100)).num_rows == 1100
