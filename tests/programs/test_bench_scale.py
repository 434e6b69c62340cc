"""The benchmark of scale plans shards of every size asked for, and runs the job on simulated machines."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.slow


def figures_of(out: Path, *options: str) -> dict[str, Any]:
    """Run the benchmark; return its figures when its table is printed and kept."""
    command = [sys.executable, "-m", "jobs.bench.scale", "--out", str(out), *options]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    assert (out / "scale.md").read_text().strip() in said.stdout
    found: dict[str, Any] = json.loads((out / "scale.json").read_text())
    return found


def test_plans_are_timed_at_every_size(tmp_path: Path, checkpoint: Path) -> None:
    found = figures_of(tmp_path, "--what", "plan", "--shards", "40", "--shards", "20", "--model", str(checkpoint))
    assert "nodes" not in found
    assert [(plan["shards"], plan["rows"], plan["slices"]) for plan in found["plans"]] == [
        (20, 200, 20),
        (40, 400, 40),
        (40, 400_000, 120),
    ]
    for plan in found["plans"]:
        assert 0 < plan["seconds"] < 60
        assert 0 <= plan["peak_bytes"] < 1 << 28
        assert plan["sent_bytes"] > 100 * plan["shards"]


@pytest.mark.timeout(280)
def test_simulated_machines_share_the_slices(tmp_path: Path, checkpoint: Path) -> None:
    sizes = ["--nodes", "1", "--nodes", "2", "--slices", "3", "--rows", "8", "--seconds", "0.1"]
    found = figures_of(tmp_path, "--what", "nodes", *sizes, "--model", str(checkpoint))
    assert "plans" not in found
    assert [(run["nodes"], run["slices"]) for run in found["nodes"]] == [(1, 3), (2, 6)]
    for run in found["nodes"]:
        assert run["ideal_seconds"] == pytest.approx(0.3)
        assert run["seconds"] >= 0.29
        assert run["manifest_bytes"] > 400 * run["slices"]


def test_slice_after_slice_each_byte_of_a_shard_is_read_about_once(tmp_path: Path, checkpoint: Path) -> None:
    found = figures_of(tmp_path, "--what", "read", "--shard-rows", "30000", "--model", str(checkpoint))
    assert [read["format"] for read in found["reads"]] == ["parquet", "csv", "csv.gz", "csv.zst", "jsonl"]
    for read in found["reads"]:
        assert read["read_rows"] == read["rows"] == 30_000
        assert read["slices"] == 30
        assert read["plan_bytes"] <= 1.05 * read["bytes"]
        assert read["read_bytes"] <= 1.05 * read["bytes"] + (64 << 10)
