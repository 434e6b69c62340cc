"""The metrics of a run that is at work, as Prometheus reads them from the machines of Ray."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT, write_parquet
from tests.helpers.exposition import Sample, scraped
from tests.helpers.ray_head import ray_head
from tests.helpers.started_runs import job

pytestmark = pytest.mark.slow

_LABELS = {"scoring_job", "code", "role"}
_RAYS_OWN = {"Component", "NodeAddress", "SessionName", "Version", "WorkerId"}


@pytest.mark.timeout(600)
def test_a_running_job_shows_its_rows_tokens_rejects_and_stages_to_prometheus(
    tmp_path: Path, checkpoint: Path
) -> None:
    config = job(tmp_path, checkpoint, rows=40_000, out=tmp_path / "out")
    # The first file has rejects, so that they are there early.
    write_parquet(tmp_path / "in" / "0.parquet", {"id": range(100), "text": [None] * 5 + ["some text"] * 95})
    (tmp_path / "home").mkdir()
    with ray_head(tmp_path / "home", metrics_report_interval_ms=500) as (environment, folder):
        command = [sys.executable, "-m", "jobs.score", "run", str(config)]
        with subprocess.Popen(command, cwd=ROOT, env=environment, text=True) as run:
            seen = _metrics_of(run, folder)
            run.terminate()
    assert sorted(seen) == [
        "ray_nightscore_rejected_rows_total",
        "ray_nightscore_rows_planned",
        "ray_nightscore_rows_total",
        "ray_nightscore_stage_busy_ratio",
        "ray_nightscore_tokens_total",
    ]
    (planned,), (rows,), (tokens,) = (
        seen[f"ray_nightscore_{name}"] for name in ("rows_planned", "rows_total", "tokens_total")
    )
    assert planned.value == 40_100
    assert 100 <= rows.value <= 40_100
    assert tokens.value > rows.value
    assert [(sample.labels["code"], sample.value) for sample in seen["ray_nightscore_rejected_rows_total"]] == [
        ("null_text", 5)
    ]
    shares = {sample.labels["role"]: sample.value for sample in seen["ray_nightscore_stage_busy_ratio"]}
    assert set(shares) == {"tokenizer", "model", "writer"}
    assert all(0 < share <= 1 for share in shares.values())
    for sample in (sample for samples in seen.values() for sample in samples):
        assert sample.labels["scoring_job"] == "job"
        ours = {name for name in sample.labels if not name.startswith("otel_scope_")} - _RAYS_OWN
        assert ours <= _LABELS, "a label that Ray or we added has values without limit"


def _metrics_of(run: "subprocess.Popen[str]", folder: Path) -> dict[str, list[Sample]]:
    """Return the metrics of a run while it works, from the endpoints that Ray names for Prometheus."""
    seen: dict[str, list[Sample]] = {}
    while len(seen) < 5:
        assert run.poll() is None, "the run was over before its metrics were seen"
        time.sleep(0.5)
        discovery = folder / "prom_metrics_service_discovery.json"
        targets = [address for group in json.loads(discovery.read_text()) for address in group["targets"]]
        for address in targets:
            seen |= scraped(address, "ray_nightscore_")
    return seen
