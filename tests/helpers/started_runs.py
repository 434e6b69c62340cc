"""Runs that are started as a scheduler starts them, to be stopped or killed."""

import os
import subprocess
import sys
import time
from pathlib import Path

import yaml

from tests.conftest import ROOT, write_parquet


def job(tmp_path: Path, checkpoint: Path, rows: int, out: Path) -> Path:
    """Write shards and a settings file."""
    write_parquet(
        tmp_path / "in" / "a.parquet", {"id": range(rows), "text": [f"text {row}" for row in range(rows)]}
    )
    settings = {
        "model": {"name": str(checkpoint)},
        "input": {"path": str(tmp_path / "in")},
        "output": {"path": str(out)},
        "tuning": {"model_actors": 1, "rows_per_slice": 100},
    }
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(settings))
    return tmp_path / "job.yaml"


def start(config: Path) -> subprocess.Popen[str]:
    """Start a run as a scheduler does."""
    return subprocess.Popen(
        [sys.executable, "-m", "jobs.score", "run", str(config)],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def wait_for(condition: Path, pattern: str, seconds: float = 120) -> None:
    """Wait until a file is there."""
    deadline = time.monotonic() + seconds
    while not list(condition.glob(pattern)):
        assert time.monotonic() < deadline, f"no {pattern} in {condition}"
        time.sleep(0.02)
