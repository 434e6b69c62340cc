"""Disks that are full, or that may only be read."""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline_lib.errors import FaultError, InputError
from pipeline_lib.publishing.verifier import verify
from tests.conftest import Runner, SettingsMaker, write_parquet


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 200 KiB; needs the right to mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", str(disk).encode(), b"tmpfs", 0, b"size=200k"):
        pytest.skip(f"can't mount a disk: {os.strerror(ctypes.get_errno())}")
    yield disk
    libc.umount2(str(disk).encode(), 2)


@pytest.mark.slow
def test_a_full_disk_is_a_fault_and_when_there_is_room_the_same_run_completes(
    small_disk: Path, tmp_path: Path, settings_for: SettingsMaker, run_job: Runner
) -> None:
    rows = 4_000
    write_parquet(
        tmp_path / "in" / "a.parquet",
        {"id": [os.urandom(40).hex() for _ in range(rows)], "text": [f"text {row}" for row in range(rows)]},
    )
    settings = settings_for(output={"path": str(small_disk / "out")}, tuning={"rows_per_slice": 250})
    with pytest.raises(FaultError, match="No space left on device"):
        run_job(settings)
    assert not list(small_disk.rglob("*.tmp"))
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    outcome = run_job(settings)
    assert outcome.scored == rows
    assert 0 < outcome.rows_this_run < rows
    assert verify(str(small_disk / "out"))[1] == []


def test_a_read_only_disk_is_an_error_that_the_user_must_fix(
    small_disk: Path, tmp_path: Path, settings_for: SettingsMaker, run_job: Runner
) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"text": ["a"]})
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(InputError, match=r"Read-only file system"):
        run_job(settings_for(output={"path": str(small_disk / "out")}))
