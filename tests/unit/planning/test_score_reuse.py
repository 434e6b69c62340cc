"""Another choice of kept columns takes over the published scores; all that can change a score does not."""

from pathlib import Path
from typing import Any

import pytest

from pipeline_lib.errors import OutputError
from pipeline_lib.planning.discovery import discover
from pipeline_lib.planning.planner import make_plan
from pipeline_lib.publishing.verifier import verify
from tests.conftest import Runner, SettingsMaker, read_output, write_parquet


@pytest.fixture
def published(tmp_path: Path, settings_for: SettingsMaker, run_here: Runner) -> Path:
    """Two shards with rejects among their rows, published in slices of three rows."""
    texts: list[str | None] = ["good", None, "bad", "fine", "not \x00 so", None, "dull"]
    rows = len(texts)
    for name in ("a", "b"):
        write_parquet(
            tmp_path / "in" / f"{name}.parquet",
            {"id": [f"{name}{row}" for row in range(rows)], "text": texts, "stars": list(range(rows))},
        )
    run_here(settings_for(**SLICES, input={"keep_columns": ["id"]}))
    return tmp_path / "out"


SLICES: dict[str, Any] = {"tuning": {"rows_per_slice": 3}, "limits": {"max_reject_rate": 0.5}}


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not {"_runs", "_metrics.json", "_report.html"} & set(path.parts)
    }


@pytest.mark.parametrize(
    ("kept", "output"),
    [(["id", "stars"], {}), (["text", "id"], {}), ([], {}), (["stars"], {}), (["id"], {"column_prefix": "tone_"})],
)
def test_other_columns_take_over_the_scores_and_give_the_bytes_of_a_fresh_run(  # noqa: PLR0917 - fixtures
    published: Path,
    tmp_path: Path,
    settings_for: SettingsMaker,
    run_here: Runner,
    kept: list[str],
    output: dict[str, str],
) -> None:
    """`--replace` is not needed, no model runs, and the output equals that of a fresh run."""
    settings = settings_for(**SLICES, input={"keep_columns": kept}, output=output)
    plan = make_plan(discover(settings))
    assert len(plan.reusable) == plan.slices == len(plan.todo)
    run_here(settings)
    assert verify(str(published))[1] == []
    assert read_output(published).column_names[: len(kept)] == kept
    fresh = settings_for(**SLICES, input={"keep_columns": kept}, output={**output, "path": str(tmp_path / "fresh")})
    run_here(fresh)
    ours, theirs = tree(published), tree(tmp_path / "fresh")
    where = {
        name: content.replace(str(tmp_path / "fresh").encode(), str(published).encode())
        for name, content in theirs.items()
    }
    differ = {name for name in ours.keys() | where.keys() if ours.get(name) != where.get(name)}
    assert differ <= {"_SUCCESS"}, differ  # it has the hash of a manifest with another path in it


def test_scores_whose_columns_have_a_prefix_are_taken_over_too(
    published: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    before, plain = tree(published), settings_for(**SLICES, input={"keep_columns": ["id"]})
    run_here(settings_for(**SLICES, input={"keep_columns": ["id"]}, output={"column_prefix": "tone_"}))
    assert "tone_label" in read_output(published).column_names
    plan = make_plan(discover(plain))
    assert len(plan.reusable) == plan.slices
    run_here(plain)
    assert tree(published) == before


@pytest.mark.slow
def test_the_job_on_ray_takes_over_scores_too(
    published: Path, settings_for: SettingsMaker, run_job: Runner
) -> None:
    before = read_output(published).sort_by("id")
    run_job(settings_for(**SLICES, input={"keep_columns": ["id", "stars", "text"]}))
    after = read_output(published).sort_by("id")
    assert after.column("score").equals(before.column("score"))
    assert after.column_names[:3] == ["id", "stars", "text"]


def test_a_damaged_part_is_scored_again(published: Path, settings_for: SettingsMaker, run_here: Runner) -> None:
    part = next(published.glob("part-*.parquet"))
    part.write_bytes(b"x" + part.read_bytes()[1:])
    settings = settings_for(**SLICES, input={"keep_columns": ["stars"]})
    plan = make_plan(discover(settings))
    assert len(plan.reusable) == plan.slices - 3, "the slices of the other file"
    run_here(settings)
    assert verify(str(published))[1] == []


@pytest.mark.parametrize(
    "other",
    [
        {"model": {"max_tokens": 5}},
        {"model": {"precision": "bfloat16"}},
        {"input": {"blank_texts": "reject", "keep_columns": ["id"]}},
        {"output": {"scores": "all"}},
        {"tuning": {"tokens_per_batch": 64, "rows_per_slice": 3}},
    ],
)
def test_what_changes_a_score_or_needs_more_than_was_published_is_not_taken_over(
    published: Path, settings_for: SettingsMaker, other: dict[str, Any]
) -> None:
    del published
    sections = {**SLICES, "input": {"keep_columns": ["id"]}, **other}
    with pytest.raises(OutputError, match="--replace"):
        make_plan(discover(settings_for(**sections)))
