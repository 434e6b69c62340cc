"""Several models over one reading: each result is that of a job of its own."""

import json
from collections.abc import Sequence
from pathlib import Path

import duckdb
import pytest

from pipeline_lib.execution.ray_executor import RayExecutor
from pipeline_lib.settings.settings_file import parse_jobs
from tests.conftest import write_parquet
from tests.helpers.checkpoints import poisoned
from tests.helpers.checkpoints import tiny_checkpoints as tiny
from tests.helpers.checkpoints.tiny_checkpoints import ARCHITECTURES, Recipe
from tests.helpers.model_sets import assert_as_alone, assert_oracle, run_models, sections_of, three, write_shards


def test_each_model_has_the_bytes_of_a_job_of_its_own_and_the_rows_are_read_once(
    tmp_path: Path, checkpoints: Path
) -> None:
    write_shards(tmp_path)
    jobs = parse_jobs(sections_of(tmp_path, three(checkpoints)))
    ended = run_models(jobs)
    assert [outcome.status for outcome in ended.values()] == ["PUBLISHED"] * 3
    # What is done for several models is counted for the first one of them alone.
    assert ["reader" in outcome.busy for outcome in ended.values()] == [True, False, False]
    assert ["tokenizer" in outcome.busy for outcome in ended.values()] == [True, True, False]
    assert_as_alone(jobs, tmp_path)


def test_the_outputs_are_joined_on_the_kept_columns(tmp_path: Path, checkpoints: Path) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"id": ["x", "y"], "label": ["a", "b"], "text": ["good", "bad"]})
    run_models(parse_jobs(sections_of(tmp_path, three(checkpoints))))
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
    write_shards(tmp_path)
    run_models(parse_jobs(sections_of(tmp_path, models)))
    for name, checkpoint in models.items():
        assert_oracle(tmp_path, name, checkpoint)


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
    jobs = parse_jobs(sections_of(tmp_path, models, input=shared))
    ended = run_models(jobs)
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
    ended = run_models(parse_jobs(sections_of(tmp_path, models)), RayExecutor())
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
    write_shards(tmp_path)
    tuned = {"rows_per_slice": 32, "model_actors": 1, **tuning}
    jobs = parse_jobs(sections_of(tmp_path, three(checkpoints), tuning=tuned))
    ended = run_models(jobs, RayExecutor())
    assert [outcome.status for outcome in ended.values()] == ["PUBLISHED"] * 3
    assert ["reader" in outcome.busy for outcome in ended.values()] == [True, False, False]
    assert ["tokenizer" in outcome.busy for outcome in ended.values()] == [True, True, False]
    assert_as_alone(jobs, tmp_path)
