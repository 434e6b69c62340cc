"""Several models over one reading: each result is that of a job of its own, and each model has its own version."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
import yaml
from rich.console import Console

from pipeline_lib import pipeline
from pipeline_lib.execution.executor import Executor
from pipeline_lib.execution.local_executor import LocalExecutor
from pipeline_lib.execution.ray_executor import RayExecutor
from pipeline_lib.machine import failpoints
from pipeline_lib.reporting.attempt import Attempt
from pipeline_lib.reporting.outcome import Outcome
from pipeline_lib.reporting.records.attempts import Attempts
from pipeline_lib.reporting.terminal.progress import Progress
from pipeline_lib.settings.settings_file import Jobs, load_jobs, parse_jobs
from tests.conftest import ROOT, read_output, run_without_ray, write_parquet
from tests.helpers.checkpoints import poisoned
from tests.helpers.checkpoints import tiny_checkpoints as tiny
from tests.helpers.checkpoints.tiny_checkpoints import ADVERSARIAL_TEXTS, ARCHITECTURES, Recipe
from tests.helpers.command_line import error_line, nightscore
from tests.helpers.watching.nights import night, write_night

TEXTS = [*ADVERSARIAL_TEXTS, *(f"a good day, number {number} " * (number % 30) for number in range(60))]
TOLERANCE = 1e-5


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of checkpoints: `other` is a BERT with other weights and labels, and the tokenizer of `bert`."""
    folder = tmp_path_factory.mktemp("checkpoints")
    for architecture in ("bert", "gpt2"):
        tiny.build(Recipe(architecture), folder / architecture)
    tiny.build(Recipe("bert", seed=7, num_labels=3, labels=("sport", "news", "art")), folder / "other")
    return folder


def write_input(folder: Path) -> Path:
    """Write a Parquet and a CSV shard, with rows that are rejected when they are read."""
    texts: list[str | None] = [*TEXTS[:40], None, *TEXTS[40:]]
    write_parquet(folder / "in" / "a.parquet", {"id": [str(row) for row in range(len(texts))], "text": texts})
    lines = [f'b{row},"{row} is a fine number"' for row in range(70)]
    (folder / "in" / "b.csv").write_text("\n".join(["id,text", *lines, "b70,too,many"]) + "\n")
    return folder / "in"


def sections(folder: Path, models: Mapping[str, Any], **others: Any) -> dict[str, Any]:
    entries = [
        {"as": name, **(given if isinstance(given, Mapping) else {"name": str(given)})}
        for name, given in models.items()
    ]
    return {
        "models": entries,
        "input": {"path": str(folder / "in")},
        "output": {"path": str(folder / "out"), "scores": "all"},
        "tuning": {"rows_per_slice": 32, "model_actors": 1},
        "limits": {"max_reject_rate": 0.5},
        **others,
    }


def run_set(jobs: Jobs, executor: Executor | None = None) -> dict[str, Outcome]:
    """Run the jobs of several models together; return how each ended."""
    attempts = [Attempt(model=name) for name in jobs]
    progress = Progress(Console(quiet=True), is_one_night=False)
    together = {name: pipeline.Job(settings) for name, settings in jobs.items()}
    pipeline.run_together(together, Attempts(attempts), progress, executor or LocalExecutor())
    return {attempt.model: attempt.outcome for attempt in attempts if attempt.outcome}


def files(folder: Path) -> dict[str, str]:
    """Return the hash of every file of scored rows and of rejects."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("part-*.parquet"))
    }


def assert_as_alone(jobs: Jobs, folder: Path) -> None:
    """Check that each result has the very bytes of a job with these settings that runs alone."""
    for name, settings in jobs.items():
        output = settings.output.model_copy(update={"path": str(folder / "alone" / name)})
        outcome = run_without_ray(settings.model_copy(update={"output": output}))
        assert files(folder / "out" / name) == files(folder / "alone" / name) != {}
        assert json.loads((folder / "out" / name / "_SUCCESS").read_text())["version"] == outcome.version


def assert_oracle(folder: Path, name: str, checkpoint: Path) -> None:
    """Check labels and scores of a model against the pipeline at batch size 1."""
    rows = read_output(folder / "out" / name).to_pylist()
    shard = pq.read_table(folder / "in" / "a.parquet").to_pylist()
    text_of = {row["id"]: row["text"] for row in shard}
    scored = [row for row in rows if row["id"] in text_of]
    assert len(scored) > len(TEXTS) // 2
    answers = tiny.oracle(checkpoint, [text_of[row["id"]] for row in scored], 64)
    for row, answer in zip(scored, answers, strict=True):
        assert row[f"{name}_label"] == answer.label
        assert row[f"{name}_score"] == pytest.approx(answer.score, abs=TOLERANCE)
        assert row[f"{name}_n_tokens"] == answer.n_tokens


THREE = {"tone": "bert", "Mood2": "gpt2", "topic": "other"}


def three(checkpoints: Path) -> dict[str, Path]:
    return {name: checkpoints / folder for name, folder in THREE.items()}


def test_each_model_has_the_bytes_of_a_job_of_its_own_and_the_rows_are_read_once(
    tmp_path: Path, checkpoints: Path
) -> None:
    write_input(tmp_path)
    jobs = parse_jobs(sections(tmp_path, three(checkpoints)))
    ended = run_set(jobs)
    assert [outcome.status for outcome in ended.values()] == ["PUBLISHED"] * 3
    # What is done for several models is counted for the first one of them alone.
    assert ["reader" in outcome.busy for outcome in ended.values()] == [True, False, False]
    assert ["tokenizer" in outcome.busy for outcome in ended.values()] == [True, True, False]
    assert_as_alone(jobs, tmp_path)


def test_the_outputs_are_joined_on_the_kept_columns(tmp_path: Path, checkpoints: Path) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"id": ["x", "y"], "label": ["a", "b"], "text": ["good", "bad"]})
    run_set(parse_jobs(sections(tmp_path, three(checkpoints))))
    tone, topic = tmp_path / "out" / "tone", tmp_path / "out" / "topic"
    query = f"select * from '{tone}/*.parquet' join '{topic}/*.parquet' using (id, input_label)"  # noqa: S608
    joined = duckdb.sql(query)
    added = [f"{name}_{column}" for name in ("tone", "topic") for column in ADDED]
    assert joined
    assert joined.columns == ["id", "input_label", *added]
    assert sorted(row[:2] for row in joined.fetchall()) == [("x", "a"), ("y", "b")]


ADDED = ("label", "score", "scores", "n_tokens", "truncated")


@pytest.mark.parametrize(
    "architectures",
    [
        ARCHITECTURES[:3],
        *(pytest.param(some, marks=pytest.mark.slow) for some in (ARCHITECTURES[3:7], ARCHITECTURES[7:])),
    ],
)
def test_labels_and_scores_are_those_of_the_pipeline(tmp_path: Path, architectures: Sequence[str]) -> None:
    models = {name.replace("-", "_"): tiny.build(Recipe(name), tmp_path / name) for name in architectures}
    write_input(tmp_path)
    run_set(parse_jobs(sections(tmp_path, models)))
    for name, checkpoint in models.items():
        assert_oracle(tmp_path, name, checkpoint)


def test_a_model_that_is_added_is_the_only_one_that_scores(tmp_path: Path, checkpoints: Path) -> None:
    write_input(tmp_path)
    models = three(checkpoints)
    first = {name: models[name] for name in ("Mood2", "topic")}
    assert {each.status for each in run_set(parse_jobs(sections(tmp_path, first))).values()} == {"PUBLISHED"}
    before = {name: files(tmp_path / "out" / name) for name in first}
    jobs = parse_jobs(sections(tmp_path, models))
    ended = run_set(jobs)
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
    run_set(parse_jobs(sections(tmp_path, {"tone": models["tone"]})))
    write_parquet(tmp_path / "in" / "a.parquet", {"id": ["2"] * 50, "text": ["bad"] * 50})
    ended = run_set(parse_jobs(sections(tmp_path, models)))
    assert {name: each.rows_this_run for name, each in ended.items()} == {"tone": 50, "Mood2": 90, "topic": 90}
    for name in models:
        assert sorted(read_output(tmp_path / "out" / name).column("id").to_pylist()) == ["1"] * 40 + ["2"] * 50
        assert nightscore("verify", str(config_of(tmp_path, models)), "--model", name).returncode == 0


def config_of(folder: Path, models: Mapping[str, Any], **others: Any) -> Path:
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump(sections(folder, models, **others)))
    return path


def test_a_model_that_can_not_be_published_stops_no_other(tmp_path: Path, checkpoints: Path) -> None:
    """One output holds another version, and one checkpoint is missing."""
    write_input(tmp_path)
    models = three(checkpoints)
    run_set(parse_jobs(sections(tmp_path, {"tone": {"name": str(models["tone"]), "max_tokens": 32}})))
    config = config_of(tmp_path, {**models, "lost": tmp_path / "nowhere"})
    ended = nightscore("run", str(config), "--local")
    assert ended.returncode == 2, ended.stderr
    told = dict(line.split(" ", 2)[:2] for line in ended.stdout.splitlines())
    assert told == {"tone": "FAILED", "Mood2": "PUBLISHED", "topic": "PUBLISHED", "lost": "FAILED"}
    assert "tone: " in ended.stderr
    assert "holds version" in ended.stderr


def test_a_limit_that_holds_one_model_holds_no_other(tmp_path: Path, checkpoints: Path) -> None:
    write_input(tmp_path)
    models = {"exact": checkpoints / "bert", "half": {"name": str(checkpoints / "bert"), "precision": "bfloat16"}}
    limits = {"max_reject_rate": 0.5, "max_precision_drift": 0.0}
    config = config_of(tmp_path, models, limits=limits)
    ended = nightscore("run", str(config), "--local")
    assert ended.returncode == 3, ended.stderr
    told = dict(line.split(" ", 2)[:2] for line in ended.stdout.splitlines())
    assert told == {"exact": "PUBLISHED", "half": "FAILED"}
    assert json.loads((tmp_path / "out" / "exact" / "_metrics.json").read_text())["model_loads"] == 2


def test_every_command_works_on_all_models_or_on_one(tmp_path: Path, checkpoints: Path) -> None:
    models = {"tone": checkpoints / "bert", "topic": checkpoints / "other"}
    for number in (0, 1):
        write_night(tmp_path, number)
    dated = {
        "input": {"path": f"{tmp_path}/in/{{date}}"},
        "output": {"path": f"{tmp_path}/out/{{date}}"},
    }
    config, days = config_of(tmp_path, models, **dated), ("--from", f"{night(0)}", "--to", f"{night(1)}")
    planned = nightscore("plan", str(config), "--local", "--date", f"{night(0)}")
    assert planned.returncode == 0, planned.stderr
    assert [line for line in planned.stdout.splitlines() if line.startswith("as ")] == [
        "as       tone",
        "as       topic",
    ]
    dry = nightscore("backfill", str(config), *days, "--dry-run")
    assert f"{night(1)} topic  missing" in dry.stdout
    alone = nightscore("run", str(config), "--local", "--date", f"{night(0)}", "--model", "topic")
    assert alone.returncode == 0, alone.stderr
    assert alone.stdout.startswith("PUBLISHED ds=")
    filled = nightscore("backfill", str(config), *days, "--local")
    assert filled.returncode == 0, filled.stderr
    *lines, last = filled.stdout.splitlines()
    assert {line.split(" PUBLISHED")[0] for line in lines} == {
        f"{night(1)} tone",
        f"{night(1)} topic",
        f"{night(0)} tone",
    }
    assert "4 published; worked on 3" in last
    shown = json.loads(nightscore("status", str(config), *days, "--json").stdout)
    assert [(each["date"], each["name"], each["state"]) for each in shown] == [
        (f"{night(number)}", name, "published") for number in (0, 1) for name in models
    ]
    verified = nightscore("verify", str(config), "--date", f"{night(1)}")
    assert verified.returncode == 0
    assert [line.split(" in=")[0] for line in verified.stdout.splitlines()] == ["tone VERIFIED", "topic VERIFIED"]
    pages = nightscore("report", str(config), "--date", f"{night(0)}").stdout.splitlines()
    assert [page.rpartition("/out/")[2] for page in pages] == [f"{night(0)}/{name}/_report.html" for name in models]
    pages = nightscore("index", str(config)).stdout.splitlines()
    assert [page.rpartition("/")[2] for page in pages] == ["_index_tone.html", "_index_topic.html"]
    assert "topic" not in (tmp_path / "out" / "_index_tone.html").read_text()
    wrong = error_line(nightscore("run", str(config), "--local", "--date", f"{night(0)}", "--model", "tonne"))
    assert "--model: there is no model 'tonne'" in wrong
    assert "did you mean 'tone'?" in wrong


def test_each_model_has_its_own_truth_from_the_one_reading(tmp_path: Path, checkpoints: Path) -> None:
    lines = [f"{row},text {row},{1 + row % 5},{('sport', 'news', '')[row % 3]}" for row in range(50)]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text("\n".join(["id,text,stars,kind", *lines]) + "\n")
    stars = {1: "LABEL_0", 2: None, 3: None, 4: "LABEL_1", 5: "LABEL_1"}
    models = {
        "tone": {"name": str(checkpoints / "bert"), "truth_column": "stars", "truth_labels": stars},
        "plain": checkpoints / "bert",
        "topic": {"name": str(checkpoints / "other"), "truth_column": "kind"},
    }
    shared = {"path": str(tmp_path / "in"), "keep_columns": ["id"]}
    jobs = parse_jobs(sections(tmp_path, models, input=shared))
    ended = run_set(jobs)
    assert ["reader" in outcome.busy for outcome in ended.values()] == [True, False, False]
    assert_as_alone(jobs, tmp_path)
    told = {name: json.loads((tmp_path / "out" / name / "_metrics.json").read_text())["truth"] for name in models}
    for name, truth in told.items():
        assert truth == json.loads((tmp_path / "alone" / name / "_metrics.json").read_text())["truth"]
    assert told["plain"] is None
    assert [told[name][count] for name in ("tone", "topic") for count in ("rows", "without_truth")] == [
        30,
        20,
        34,
        16,
    ]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_text_that_fails_or_kills_one_model_is_scored_by_the_others(
    tmp_path: Path, checkpoints: Path, one_ray: None
) -> None:
    """Both models get the same ids, so that a text which was found guilty at one would be known at the other."""
    del one_ray
    bad = poisoned.build(checkpoints / "bert", tmp_path / "poisoned", tmp_path / "flag")
    texts = [f"text {row % 6} good" for row in range(24)]
    texts[3], texts[13] = f"text {poisoned.FAILS}", f"text {poisoned.KILLS}"
    write_parquet(tmp_path / "in" / "a.parquet", {"id": range(24), "text": texts})
    models = {"bad": {"name": str(bad), "allow_remote_code": True}, "good": checkpoints / "bert"}
    ended = run_set(parse_jobs(sections(tmp_path, models)), RayExecutor())
    assert {name: (each.status, each.rejected) for name, each in ended.items()} == {
        "bad": ("PUBLISHED", 2),
        "good": ("PUBLISHED", 0),
    }


@pytest.mark.slow
@pytest.mark.parametrize("tuning", [{}, {"tokenizer_actors": 1}, {"tokenizer_actors": 2, "reader_actors": 1}])
def test_on_ray_each_model_has_the_bytes_of_a_job_of_its_own(
    tmp_path: Path, checkpoints: Path, one_ray: None, tuning: dict[str, int]
) -> None:
    del one_ray
    write_input(tmp_path)
    tuned = {"rows_per_slice": 32, "model_actors": 1, **tuning}
    jobs = parse_jobs(sections(tmp_path, three(checkpoints), tuning=tuned))
    ended = run_set(jobs, RayExecutor())
    assert [outcome.status for outcome in ended.values()] == ["PUBLISHED"] * 3
    assert ["reader" in outcome.busy for outcome in ended.values()] == [True, False, False]
    assert ["tokenizer" in outcome.busy for outcome in ended.values()] == [True, True, False]
    assert_as_alone(jobs, tmp_path)


def test_slices_that_one_model_has_are_left_out_for_it_alone(tmp_path: Path, checkpoints: Path) -> None:
    """A limit holds all of them first; then one lacks a slice that was staged, and another is new."""
    write_input(tmp_path)
    models = three(checkpoints)
    held = sections(tmp_path, {name: models[name] for name in ("tone", "Mood2")}, limits={"max_reject_rate": 0.0})
    assert {each.exit_code for each in run_set(parse_jobs(held)).values()} == {3}
    (lost,) = tmp_path.glob("out/tone/_staging/*/part-00000-000000032.json")
    lost.unlink()
    jobs = parse_jobs(sections(tmp_path, models))
    ended = run_set(jobs)
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
    write_input(tmp_path)
    config, armed = config_of(tmp_path, three(checkpoints)), tmp_path / "armed"
    armed.mkdir()
    (armed / point).touch()
    command = [sys.executable, "-m", "jobs.score", "run", str(config), "--local"]
    killed = subprocess.run(command, cwd=ROOT, env={**os.environ, failpoints.FOLDER: str(armed)}, check=False)
    assert killed.returncode == -signal.SIGKILL
    ended = nightscore("run", str(config), "--local")
    assert ended.returncode == 0, ended.stderr
    assert_as_alone(load_jobs(config), tmp_path)
