"""Several models over one reading: each has its own version, and scores only what it lacks."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline_lib.machine import failpoints
from pipeline_lib.settings.settings_file import load_jobs, parse_jobs
from tests.conftest import ROOT, read_output, write_parquet
from tests.helpers.command_line import nightscore
from tests.helpers.model_sets import assert_as_alone, config_of, files, run_models, sections_of, three, write_shards


def test_a_model_that_is_added_is_the_only_one_that_scores(tmp_path: Path, checkpoints: Path) -> None:
    write_shards(tmp_path)
    models = three(checkpoints)
    first = {name: models[name] for name in ("Mood2", "topic")}
    assert {each.status for each in run_models(parse_jobs(sections_of(tmp_path, first))).values()} == {"PUBLISHED"}
    before = {name: files(tmp_path / "out" / name) for name in first}
    jobs = parse_jobs(sections_of(tmp_path, models))
    ended = run_models(jobs)
    rows = ended["tone"].rows
    assert {name: (each.status, each.rows_this_run) for name, each in ended.items()} == {
        "tone": ("PUBLISHED", rows),
        "Mood2": ("COMPLETE", 0),
        "topic": ("COMPLETE", 0),
    }
    assert {name: files(tmp_path / "out" / name) for name in first} == before
    assert_as_alone(jobs, tmp_path)


def test_new_shards_are_read_for_all_and_old_ones_for_the_added_model_alone(
    tmp_path: Path, checkpoints: Path
) -> None:
    """The shards get other numbers in the output of the model that is added, since it sees all of them at once."""
    models = three(checkpoints)
    write_parquet(tmp_path / "in" / "m.parquet", {"id": ["1"] * 40, "text": ["good"] * 40})
    run_models(parse_jobs(sections_of(tmp_path, {"tone": models["tone"]})))
    write_parquet(tmp_path / "in" / "a.parquet", {"id": ["2"] * 50, "text": ["bad"] * 50})
    ended = run_models(parse_jobs(sections_of(tmp_path, models)))
    assert {name: each.rows_this_run for name, each in ended.items()} == {"tone": 50, "Mood2": 90, "topic": 90}
    for name in models:
        assert sorted(read_output(tmp_path / "out" / name).column("id").to_pylist()) == ["1"] * 40 + ["2"] * 50
        assert nightscore("verify", str(config_of(tmp_path, models)), "--model", name).returncode == 0


def test_slices_that_one_model_has_are_left_out_for_it_alone(tmp_path: Path, checkpoints: Path) -> None:
    """A limit holds all of them first; then one lacks a slice that was staged, and another is new."""
    write_shards(tmp_path)
    models = three(checkpoints)
    held = sections_of(
        tmp_path, {name: models[name] for name in ("tone", "Mood2")}, limits={"max_reject_rate": 0.0}
    )
    assert {each.exit_code for each in run_models(parse_jobs(held)).values()} == {3}
    (lost,) = tmp_path.glob("out/tone/_staging/*/part-00000-000000032.json")
    lost.unlink()
    jobs = parse_jobs(sections_of(tmp_path, models))
    ended = run_models(jobs)
    rows = ended["topic"].rows
    assert {name: each.rows_this_run for name, each in ended.items()} == {"tone": 32, "Mood2": 0, "topic": rows}
    assert {each.status for each in ended.values()} == {"PUBLISHED"}
    assert_as_alone(jobs, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("point", ["writer.after_rejects", "publisher.after_joining", "publisher.after_manifest"])
def test_killed_at_any_point_the_next_run_ends_with_the_same_bytes(
    tmp_path: Path, checkpoints: Path, point: str
) -> None:
    """The process is killed when it comes to the point for the first time, so that some models are further on."""
    write_shards(tmp_path)
    config, armed = config_of(tmp_path, three(checkpoints)), tmp_path / "armed"
    armed.mkdir()
    (armed / point).touch()
    command = [sys.executable, "-m", "jobs.score", "run", str(config), "--local"]
    killed = subprocess.run(command, cwd=ROOT, env={**os.environ, failpoints.FOLDER: str(armed)}, check=False)
    assert killed.returncode == -signal.SIGKILL
    ended = nightscore("run", str(config), "--local")
    assert ended.returncode == 0, ended.stderr
    assert_as_alone(load_jobs(config), tmp_path)
