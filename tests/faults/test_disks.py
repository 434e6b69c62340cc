"""Disks that are full, or that may only be read."""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline_lib.errors import FaultError, GateError, InputError
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


def test_a_disk_that_is_full_when_slices_are_joined_loses_nothing_and_nothing_is_scored_again(
    small_disk: Path, tmp_path: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    columns = {
        "id": [os.urandom(40).hex() for _ in range(800)],
        "text": [None, *(f"text {row}" for row in range(799))],
    }
    write_parquet(tmp_path / "in" / "a.parquet", columns)
    output = {"path": str(small_disk / "out"), "rows_per_file": 400}
    settings = settings_for(output=output, tuning={"rows_per_slice": 100})
    with pytest.raises(GateError):
        run_here(settings_for(output=output, tuning={"rows_per_slice": 100}, limits={"max_reject_rate": 0.0}))
    run_here(
        settings_for(output={"path": str(tmp_path / "whole"), "rows_per_file": 400}, tuning={"rows_per_slice": 100})
    )
    free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
    (small_disk / "filler").write_bytes(bytes(max(free - 20_000, 0)))
    with pytest.raises(FaultError, match="No space left on device"):
        run_here(settings)
    assert not list(small_disk.rglob("*.tmp"))
    (small_disk / "filler").unlink()
    assert run_here(settings).rows_this_run == 0
    assert verify(str(small_disk / "out"))[1] == []
    for part in (tmp_path / "whole").glob("part-*"):
        assert part.read_bytes() == (small_disk / "out" / part.name).read_bytes()


def test_a_read_only_disk_is_an_error_that_the_user_must_fix(
    small_disk: Path, tmp_path: Path, settings_for: SettingsMaker, run_job: Runner
) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"text": ["a"]})
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(InputError, match=r"Read-only file system"):
        run_job(settings_for(output={"path": str(small_disk / "out")}))
