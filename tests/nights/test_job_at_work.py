"""The metrics of a job that is at work on Ray: as Ray exports them, and as a real Prometheus reads them."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT, write_parquet
from tests.helpers.clusters.ray_head import ray_head
from tests.helpers.command_line import nightscore
from tests.helpers.started_runs import job
from tests.helpers.watching.exposition import Sample, scraped
from tests.helpers.watching.monitoring import ALERTS, names_used, panel_queries, rules
from tests.helpers.watching.prometheus_programs import asked, node_exporter, prometheus

pytestmark = pytest.mark.slow

_RAYS_LABELS = {"Component", "NodeAddress", "SessionName", "Version", "WorkerId"}
_SECONDS = 240


@dataclass
class AtWork:
    """A job that is at work, and will be for minutes."""

    run: "subprocess.Popen[str]"
    textfiles: Path
    """The folder of its metrics file."""
    discovery: Path
    """The file in which Ray says where its metrics are."""

    def until_nothing_is_missing(self, missing: Callable[[], object]) -> None:
        """Wait until a function finds nothing that is missing."""
        deadline = time.monotonic() + _SECONDS
        while what := missing():
            assert self.run.poll() is None, "the run was over too early"
            assert time.monotonic() < deadline, what
            time.sleep(1)


@pytest.fixture(scope="module")
def at_work(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> Iterator[AtWork]:
    """A job on a Ray of its own, whose metrics file knows an earlier run."""
    folder = tmp_path_factory.mktemp("at_work")
    for name in ("home", "textfiles"):
        (folder / name).mkdir()
    config = job(folder, checkpoint, rows=100, out=folder / "earlier")
    arguments = [str(config), "--metrics-file", str(folder / "textfiles" / "job.prom")]
    earlier = nightscore("run", *arguments, "--local")
    assert earlier.returncode == 0, earlier.stderr
    job(folder, checkpoint, rows=400_000, out=folder / "out")
    # The first file has rejects, so that they are there early.
    write_parquet(folder / "in" / "0.parquet", {"id": range(100), "text": [None] * 5 + ["some text"] * 95})
    command = [sys.executable, "-m", "jobs.score", "run", *arguments]
    with (
        ray_head(folder / "home", metrics_report_interval_ms=500) as (environment, ray_folder),
        subprocess.Popen(command, cwd=ROOT, env=environment, text=True) as run,
    ):
        yield AtWork(run, folder / "textfiles", ray_folder / "prom_metrics_service_discovery.json")
        run.terminate()


@pytest.mark.timeout(600)
def test_a_running_job_exports_its_rows_tokens_rejects_and_stages_with_few_labels(at_work: AtWork) -> None:
    seen: dict[str, list[Sample]] = {}

    def missing() -> set[str]:
        groups = json.loads(at_work.discovery.read_text())
        for address in (address for group in groups for address in group["targets"]):
            with contextlib.suppress(OSError):  # Ray also names programs that it has not started
                seen.update(scraped(address, "ray_nightscore_"))
        return {name for name in names_used() if name.startswith("ray_")} - set(seen)

    at_work.until_nothing_is_missing(missing)
    assert len(seen) == 5
    (planned,), (rows,), (tokens,), rejects, stages = (
        seen[f"ray_nightscore_{name}"]
        for name in ("rows_planned", "rows_total", "tokens_total", "rejected_rows_total", "stage_busy_ratio")
    )
    assert planned.value == 400_100
    assert 100 <= rows.value <= 400_100
    assert tokens.value > rows.value
    assert [(sample.labels["code"], sample.value) for sample in rejects] == [("null_text", 5)]
    assert {sample.labels["role"] for sample in stages} == {"reader", "tokenizer", "model", "writer"}
    assert all(0 < sample.value <= 1 for sample in stages)
    for sample in (sample for samples in seen.values() for sample in samples):
        assert sample.labels["scoring_job"] == "job"
        ours = {name for name in sample.labels if not name.startswith("otel_scope_")} - _RAYS_LABELS
        assert ours <= {"scoring_job", "code", "role"}


@pytest.mark.timeout(600)
def test_a_real_prometheus_shows_something_in_every_panel_and_evaluates_every_rule(
    at_work: AtWork, tmp_path: Path
) -> None:
    queries = panel_queries()
    with (
        node_exporter(at_work.textfiles) as exporter,
        prometheus(tmp_path / "prometheus", ALERTS, [exporter], at_work.discovery) as server,
    ):

        def missing() -> list[str]:
            return [title for title, query in queries.items() if not asked(server, "query", query=query)["result"]]

        at_work.until_nothing_is_missing(missing)
        (progress,) = asked(server, "query", query=queries["Progress"])["result"]
        assert 0 < float(progress["value"][1]) <= 1
        (group,) = asked(server, "rules")["groups"]
        assert {rule["name"]: rule["health"] for rule in group["rules"]} == {
            rule["alert"]: "ok" for rule in rules()
        }
        # Every name in a rule is one that Prometheus has.
        known = set(asked(server, "label/__name__/values"))
        assert names_used() <= known
        assert not [alert for alert in asked(server, "alerts")["alerts"] if alert["state"] == "firing"]
