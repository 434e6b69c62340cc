"""`plan --estimate` says what a run takes, from a sample or from past nights, and the run is set against it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pipeline_lib.errors import FaultError
from pipeline_lib.estimating.sampling.measuring import actors_here, measured, slices_to_score
from pipeline_lib.execution.local_executor import LocalExecutor
from pipeline_lib.pipeline import Job, plan_only
from pipeline_lib.reporting.terminal.progress import Progress
from pipeline_lib.settings.settings import Settings
from tests.conftest import SettingsMaker, write_parquet
from tests.helpers.command_line import error_line, lines_about, nightscore

ROWS = 300


@pytest.fixture
def config(tmp_path: Path, settings_for: SettingsMaker) -> Path:
    """Settings for six shards: short texts, texts beyond the limit, and some that are null."""
    for number in range(6):
        texts = [
            None if row % 25 == 3 else f"good {row}" if number % 2 else f"bad {row} " * 40
            for row in range(ROWS // 6)
        ]
        write_parquet(tmp_path / "in" / f"{number}.parquet", {"id": range(len(texts)), "text": texts})
    settings = settings_for(limits={"max_reject_rate": 0.5}, tuning={"rows_per_slice": 25})
    return written(settings, tmp_path / "job.yaml")


def written(settings: Settings, path: Path) -> Path:
    """Write settings to a file; JSON is YAML."""
    path.write_text(json.dumps(settings.model_dump(mode="json")))
    return path


def figures(stderr: str) -> dict[str, Any]:
    """Return the figures that a command logs for programs."""
    (line,) = [line for line in map(json.loads, stderr.splitlines()) if line["event"] == "estimate"]
    return dict(line)


@pytest.mark.slow
def test_the_estimate_of_a_small_input_has_its_figures_and_the_run_is_set_against_it(
    config: Path, tmp_path: Path
) -> None:
    arguments = ("plan", str(config), "--local", "--estimate", "--log-format", "json")
    ended = nightscore(*arguments)
    assert ended.returncode == 0, ended.stderr
    found = figures(ended.stderr)
    assert not (tmp_path / "out").exists()
    assert (found["rows"], found["slices"], found["sample_rows"]) == (ROWS, 12, found["sample_rows"])
    assert found["sample_rows"] >= ROWS  # all of it, some slices again
    assert found["reject_codes"] == {"null_text": 12}
    assert found["truncated_share"]["value"] == pytest.approx(0.5, abs=0.05)
    for name in ("seconds", "scoring_seconds", "rows_per_second", "start_seconds", "tokens", "bytes"):
        each = found[name]
        assert 0 < each["low"] <= each["value"] <= each["high"], name
    assert found["scoring_seconds"]["value"] < 60
    ended = nightscore("run", str(config), "--local")
    assert ended.returncode == 0, ended.stderr
    (line,) = lines_about(ended.stderr, "estimate")
    assert " estimated (" in line
    files = [*tmp_path.glob("out/part-*"), *tmp_path.glob("out/_rejects/*")]
    assert sum(file.stat().st_size for file in files) == pytest.approx(found["bytes"]["value"], rel=0.1)
    assert lines_about(nightscore("plan", str(config), "--local", "--estimate").stdout, "estimate") == [
        "nothing is left to score"
    ]


def test_without_a_sample_the_past_night_tells_and_without_either_there_is_an_error(
    tmp_path: Path, settings_for: SettingsMaker
) -> None:
    for day in ("2026-01-01", "2026-01-02"):
        write_parquet(
            tmp_path / "in" / day / "a.parquet", {"text": [None if n % 10 == 0 else f"t {n}" for n in range(40)]}
        )
    settings = settings_for(
        input={"path": str(tmp_path / "in" / "{date}")},
        output={"path": str(tmp_path / "out" / "{date}")},
        limits={"max_reject_rate": 0.5},
    )
    config = written(settings, tmp_path / "job.yaml")
    arguments = ("plan", str(config), "--date", "2026-01-02", "--local", "--estimate", "--sample", "0")
    assert "no run with --local has left its figures (_metrics.json)" in error_line(nightscore(*arguments))
    assert nightscore("run", str(config), "--date", "2026-01-01", "--local").returncode == 0
    found = figures(nightscore(*arguments, "--log-format", "json").stderr)
    assert (found["rows"], found["basis"], found["reject_codes"]) == (
        40,
        "1 past night, no sample",
        {"null_text": 4},
    )
    assert found["scoring_seconds"]["low"] < found["scoring_seconds"]["value"]


@pytest.mark.slow
def test_what_the_run_would_fail_of_ends_the_estimate_too_and_no_process_waits_for_ever(
    settings_for: SettingsMaker, tmp_path: Path
) -> None:
    for name in "ab":
        write_parquet(tmp_path / "in" / f"{name}.parquet", {"text": ["some text"] * 9})
    job = Job(settings_for(tuning={"model_actors": 2}))
    plan = plan_only(job, None, Progress(Console(quiet=True)), LocalExecutor())
    (tmp_path / "in" / "b.parquet").unlink()
    slices = slices_to_score(plan)
    here = replace(actors_here(plan, len(slices), local=False), processes=2)
    with pytest.raises(FaultError, match=r"b\.parquet' was removed while the job ran"):
        measured(plan, slices, here, None, lambda _: None)


def test_a_sample_without_an_estimate_is_a_clear_error(config: Path) -> None:
    assert "--sample: is the size of the sample for --estimate" in error_line(
        nightscore("plan", str(config), "--sample", "5")
    )
