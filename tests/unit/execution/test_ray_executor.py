"""Ray starts only when there is something to score."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import yaml

from tests.conftest import ROOT, write_parquet


@pytest.fixture
def config(tmp_path: Path, checkpoint: Path) -> Path:
    write_parquet(tmp_path / "in" / "a.parquet", {"text": ["good", "bad", None]})
    sections = {
        "model": {"name": str(checkpoint)},
        "input": {"path": str(tmp_path / "in")},
        "output": {"path": str(tmp_path / "out")},
    }
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(sections))
    return path


def outcome(*arguments: str) -> tuple[int, bool]:
    """Call the command line; return its exit code, and whether it started Ray."""
    command = [sys.executable, "-m", "jobs.score", *arguments]
    has_ray = False
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as job:
        while job.poll() is None:
            for process in psutil.Process(job.pid).children(recursive=True):
                try:
                    has_ray = has_ray or process.name() in {"raylet", "gcs_server"}
                except psutil.NoSuchProcess:
                    continue
            try:
                job.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
    return job.returncode, has_ray


@pytest.mark.slow
def test_ray_starts_only_when_there_is_something_to_score(config: Path) -> None:
    wide_gate = ("--set", "limits.max_reject_rate=0.5")
    assert outcome("plan", str(config)) == (0, False)
    assert outcome("run", str(config)) == (3, True), "one of three rows is rejected"
    assert outcome("run", str(config), *wide_gate) == (0, False), "all slices are staged"
    assert outcome("run", str(config), *wide_gate) == (0, False), "all slices are published"
