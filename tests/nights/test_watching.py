"""How a run is watched from outside: its metrics file after every exit code, and lines of JSON."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline_lib.storage.lease import leased
from tests.conftest import ROOT, write_parquet
from tests.helpers.command_line import Ended, error_line, lines_about, nightscore, nightscore_program
from tests.helpers.started_runs import job, wait_for
from tests.helpers.watching.exposition import samples_in


@pytest.fixture
def config(tmp_path: Path, checkpoint: Path) -> Path:
    """A settings file for a shard that is right."""
    return job(tmp_path, checkpoint, rows=20, out=tmp_path / "out")


def metrics(path: Path) -> dict[str, float]:
    """Return the values in a metrics file; of the status the one that is 1."""
    return {
        sample.labels.get("status", name): sample.value
        for name, samples in samples_in(path.read_text()).items()
        for sample in samples
        if sample.value or "status" not in sample.labels
    }


def objects(ended: Ended) -> list[dict[str, Any]]:
    """Return the lines of standard error as the objects that they must be."""
    found = [json.loads(line) for line in ended.stderr.splitlines()]
    for each in found:
        assert {"time", "level", "event", "message"} <= set(each), each
        assert each["message"].isprintable()
    return found


def test_the_metrics_file_has_every_exit_code_and_keeps_the_last_success(config: Path, tmp_path: Path) -> None:
    path = tmp_path / "job.prom"
    arguments = ["run", str(config), "--local", "--metrics-file", str(path)]

    def after(code: int, *more: str) -> dict[str, float]:
        ended = nightscore(*arguments, *more)
        assert ended.returncode == code, ended.stderr
        values = metrics(path)
        assert values["nightscore_last_run_exit_code"] == code
        return values

    first = after(0)
    assert "PUBLISHED" in first
    assert first["nightscore_last_run_rows"] == first["nightscore_last_run_scored_rows"] == 20
    assert first["nightscore_last_run_peak_memory_bytes"] > 1 << 20
    assert first["nightscore_last_run_rows_per_second"] > 0
    assert "COMPLETE" in after(0)
    good = metrics(path)["nightscore_last_success_timestamp_seconds"]
    assert good > first["nightscore_last_success_timestamp_seconds"]

    write_parquet(tmp_path / "in" / "b.parquet", {"id": range(20), "text": [None] * 20})
    held = after(3)
    assert "FAILED" in held
    assert (held["nightscore_last_run_rows"], held["nightscore_last_run_rejected_rows"]) == (40, 20)
    assert held["nightscore_last_success_rows"] == 20
    after(2, "--set", "modle.name=x")
    after(5, "--set", f"input.path={tmp_path}/in/{{date}}", "--date", "2026-11-22")
    with leased(str(tmp_path / "out")):
        after(4)
    assert metrics(path)["nightscore_last_success_timestamp_seconds"] == good


@pytest.mark.slow
def test_a_run_that_is_stopped_says_so_in_its_metrics_file(tmp_path: Path, checkpoint: Path) -> None:
    config, path = job(tmp_path, checkpoint, 20_000, tmp_path / "out"), tmp_path / "job.prom"
    command = [sys.executable, "-m", "jobs.score", "run", str(config), "--local", "--metrics-file", str(path)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as run:
        wait_for(tmp_path, "out/_staging/*/part-*.json")
        during = metrics(path)
        assert set(during) == {"nightscore_run_start_timestamp_seconds"}
        assert during["nightscore_run_start_timestamp_seconds"] <= time.time()
        run.send_signal(signal.SIGTERM)
        run.communicate(timeout=60)
    after = metrics(path)
    assert after["nightscore_last_run_exit_code"] == 1
    assert "STOPPED" in after
    assert after["nightscore_last_run_rows"] == 20_000


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("none/job.prom", "there is no folder"),
        ("", "it is a folder"),
        ("job.yaml", "the file has something else than Nightscore's metrics"),
    ],
)
def test_a_metrics_file_that_can_not_be_is_told_before_work_starts(
    path: str, why: str, config: Path, tmp_path: Path
) -> None:
    message = error_line(nightscore("run", str(config), "--local", "--metrics-file", str(tmp_path / path)))
    assert message.startswith(f"error: --metrics-file '{tmp_path / path}': ")
    assert why in message
    assert not (tmp_path / "out").exists()


def test_a_name_that_node_exporter_will_not_read_is_noted(config: Path, tmp_path: Path) -> None:
    path = tmp_path / "job.txt"
    missing = ["--set", f"input.path={tmp_path}/none"]
    (noted,) = lines_about(nightscore("run", str(config), *missing, "--metrics-file", str(path)).stderr, "note")
    assert noted == f"node_exporter reads files that end in .prom, so it will not read '{path}'"
    assert metrics(path)["nightscore_last_run_exit_code"] == 2
    path = path.with_suffix(".prom")
    assert not lines_about(nightscore("run", str(config), *missing, "--metrics-file", str(path)).stderr, "note")


def test_with_json_every_line_of_a_run_is_an_object_and_the_closing_line_stays(config: Path) -> None:
    ended = nightscore("run", str(config), "--local", "--log-format", "json")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("PUBLISHED in=20 scored=20 rejected=0")
    assert len(ended.stdout.splitlines()) == 1
    found = objects(ended)
    assert {line["level"] for line in found} == {"info"}
    by_event = {line["event"]: line for line in found}
    assert {"start", "input", "model", "labels", "columns", "output", "workers", "scoring", "publish"} <= set(
        by_event
    )
    scoring = by_event["scoring"]
    assert (scoring["rows"], scoring["of_rows"]) == (20, 20)
    result = by_event["result"]
    assert (result["status"], result["rows"], result["scored"], result["exit_code"]) == ("PUBLISHED", 20, 20, 0)
    assert sum(result["labels"].values()) == 20
    assert "█" not in ended.stderr


def test_with_json_errors_are_objects_whoever_finds_them(config: Path, tmp_path: Path) -> None:
    json_lines = ("--log-format", "json")
    (error,) = objects(nightscore("plan", str(config), "--set", "modle.name=x", *json_lines))
    assert (error["level"], error["event"], error["exit_code"]) == ("error", "error", 2)
    assert "did you mean 'model'" in error["message"]
    # The parser of options.
    assert objects(nightscore("run", str(config), "--log-format=json", "--nonsense"))
    assert nightscore("run", str(config), "--local").returncode == 0
    (part,) = (tmp_path / "out").glob("part-*")
    part.write_bytes(b"")
    damaged = nightscore("verify", str(config), *json_lines)
    assert damaged.returncode == 3
    assert {line["event"] for line in objects(damaged)} == {"wrong"}
    assert damaged.stdout.startswith("DAMAGED")


def test_a_backfill_has_one_metrics_file_and_lines_of_json_too(tmp_path: Path, checkpoint: Path) -> None:
    config, path = job(tmp_path, checkpoint, rows=20, out=tmp_path / "out"), tmp_path / "job.prom"
    for day in (21, 22):
        write_parquet(tmp_path / "in" / f"2026-11-{day}" / "a.parquet", {"text": ["some text"] * day})
    nights = ["--set", f"input.path={tmp_path}/in/{{date}}", "--set", f"output.path={tmp_path}/out/{{date}}"]
    command = ["backfill", str(config), "--local", "--from", "2026-11-21", "--log-format", "json", *nights]
    done = nightscore(*command, "--to", "2026-11-22", "--metrics-file", str(path))
    assert done.returncode == 0, done.stderr
    assert {"nights", "states", "model", "workers"} <= {line["event"] for line in objects(done)}
    values = metrics(path)
    assert values["nightscore_last_run_rows"] == values["nightscore_last_success_scored_rows"] == 43
    assert values["nightscore_last_run_exit_code"] == 0
    assert "PUBLISHED" in values
    # A night without input is the worst of three.
    late = nightscore(*command, "--to", "2026-11-23", "--metrics-file", str(path))
    assert late.returncode == 5, late.stderr
    values = metrics(path)
    assert values["nightscore_last_run_exit_code"] == 5
    assert values["nightscore_last_success_scored_rows"] == 43
    # A look changes nothing.
    before = path.read_bytes()
    assert nightscore(*command, "--to", "2026-11-23", "--dry-run", "--metrics-file", str(path)).returncode == 0
    assert path.read_bytes() == before


@pytest.mark.slow
def test_with_json_nothing_that_ray_prints_is_between_the_objects(config: Path) -> None:
    ended = nightscore_program("run", str(config), "--log-format", "json")
    assert ended.returncode == 0, ended.stderr
    assert "result" in {line["event"] for line in objects(ended)}
    assert len(ended.stdout.splitlines()) == 1
