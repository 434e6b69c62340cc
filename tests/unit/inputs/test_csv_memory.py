"""What reading CSV shards costs: memory whatever a file unpacks to, and requests to object stores."""

import gzip
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline_lib.errors import InputError
from pipeline_lib.inputs.formats.csv_files import csv_shards
from pipeline_lib.inputs.shards import cut_slices
from pipeline_lib.storage.location import Location
from pipeline_lib.storage.urls import location_of
from tests.conftest import ROOT
from tests.helpers.csv_files import UTF8, shard
from tests.helpers.stores.counted_files import ObjectStore


@pytest.mark.slow
def test_memory_stays_flat_whatever_a_small_file_unpacks_to(tmp_path: Path) -> None:
    """1 MB of gzip that unpacks to a record of 1 GB; measured in a process of its own."""
    path = tmp_path / "a.csv.gz"
    with gzip.open(path, "wb") as file:
        file.write(b"id,text\n1,a\n2,")
        for _ in range(1000):
            file.write(bytes(1_000_000))
        file.write(b"\n3,b\n")
    program = (
        "import resource, sys\n"
        "from pipeline_lib.storage.urls import location_of\n"
        "from pipeline_lib.inputs.formats.csv_files import csv_shards\n"
        "from pipeline_lib.settings.sections.input import CsvSettings\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "assert csv_shards.inspect(location_of(sys.argv[1]), CsvSettings(), 100).rows == 3\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, str(path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert path.stat().st_size < 2e6
    assert int(ran.stdout) * 1024 < 200e6


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_files_of_object_stores_are_copied_once_and_not_for_each_line(name: str, tmp_path: Path) -> None:
    path = shard(tmp_path, "id,text\n" + "".join(f"{row},text {row * 7919}\n" for row in range(20_000)), name)
    store = ObjectStore()
    contents = csv_shards.inspect(Location(store, str(path)), UTF8, 1000)
    assert store.bytes_read <= 1.1 * path.stat().st_size
    slices = cut_slices(0, contents.rows, 1000, contents.slice_offsets)
    part = slices[15]
    texts = csv_shards.CsvRows(Location(store, str(path)), ["text"], UTF8)(part).column("text").to_pylist()
    assert texts == [f"text {row * 7919}" for row in range(15_000, 16_000)]
    store.bytes_read = 0
    read_rows = csv_shards.CsvRows(Location(store, str(path)), ["text"], UTF8)
    assert sum(read_rows(part).num_rows for part in slices) == 20_000
    assert store.bytes_read <= 1.1 * path.stat().st_size, "slice after slice, a shard is read once"


@pytest.mark.slow
def test_a_slice_that_would_hold_too_much_is_refused_with_the_setting_that_helps(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    row = b"1," + b"x" * 15_000_000 + b"\n"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b"id,text\n")
        for _ in range(72):
            file.write(row)
    with pytest.raises(InputError, match=r"rows 0 to 71 hold more than 1 GiB.*set tuning\.rows_per_slice to 35"):
        csv_shards.inspect(location_of(str(path)), UTF8, 100)
    assert csv_shards.inspect(location_of(str(path)), UTF8, 35).rows == 72
