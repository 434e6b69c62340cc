"""The statistics and the truth of runs: in the manifest, in the metrics of the night, and on the terminal."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

from pipeline_lib.errors import InputError, SettingsError
from pipeline_lib.planning.discovery import discover
from pipeline_lib.planning.planner import make_plan
from pipeline_lib.publishing.verifier import verify
from pipeline_lib.statistics.evaluation import Evaluation
from pipeline_lib.statistics.row_statistics import RowStatistics
from tests.conftest import ROOT, Runner, SettingsMaker, read_output, write_parquet
from tests.helpers.command_line import lines_about, nightscore

OTHER_TRUTH = ("--set", "input.truth_labels={1: NEGATIVE}")
STARS = {"truth_column": "stars", "truth_labels": {1: "LABEL_0", 3: None, 5: "LABEL_1"}}
SLICES: dict[str, Any] = {"tuning": {"rows_per_slice": 3}, "limits": {"max_reject_rate": 0.5}}


def metrics(folder: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((folder / "_metrics.json").read_text())
    return told


def manifest(folder: Path) -> dict[str, Any]:
    """Return a manifest without what names the folder."""
    told: dict[str, Any] = json.loads((folder / "_manifest.json").read_text())
    del told["settings"]
    return told


def write_shard(folder: Path, name: str, rows: int = 8) -> None:
    texts: list[str | None] = [f"{name} says {row % 5} good" for row in range(rows)]
    stars = [(1, 3, 5, 9, None)[row % 5] for row in range(rows)]
    texts[2] = None
    write_parquet(folder / "in" / f"{name}.parquet", {"id": range(rows), "text": texts, "stars": stars})


def test_metrics_have_the_statistics_of_the_night_and_the_manifest_those_of_each_shard(
    tmp_path: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    for name in ("a", "b"):
        write_shard(tmp_path, name)
    outcome = run_here(settings_for(**SLICES, input=STARS, output={"scores": "all"}))
    told, published = metrics(tmp_path / "out"), manifest(tmp_path / "out")
    rows = RowStatistics.from_json(told["statistics"])
    output = read_output(tmp_path / "out")
    scores = output.column("score").to_numpy()
    assert rows.scored == 14
    assert rows.rejected == {"null_text": 2}
    assert rows.labels == outcome.labels
    assert set(rows.all_scores) == {"LABEL_0", "LABEL_1"}
    assert told["mean_score"] == pytest.approx(scores.mean(), abs=1e-6)
    assert told["tokens"] == rows.token_sum == output.column("n_tokens").to_numpy().sum()
    both = np.sort(np.array(output.column("scores").to_pylist(), np.float32), axis=1)
    assert told["near_boundary"] == (both[:, 1].astype(float) - both[:, 0] < 0.1).sum()
    assert told["truncated"] == 0
    assert told["drift"] is None
    shards = [RowStatistics.from_json(shard["statistics"]) for shard in published["shards"]]
    assert shards[0] + shards[1] == rows
    truths = [Evaluation.from_json(shard["truth"]) for shard in published["shards"]]
    assert (truths[0] + truths[1]).to_json() == told["truth"]
    # Of each shard's scored rows: 1 and 5 stars four times, 9 stars is unknown, 3 stars and null are no truth.
    assert {name: told["truth"][name] for name in ("rows", "without_truth", "unknown")} == {
        "rows": 6,
        "without_truth": 6,
        "unknown": 2,
    }
    assert all("statistics" not in part and "truth" not in part for part in published["slices"])
    everything = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*.json"))
    assert b"says" not in everything


def test_the_manifest_is_the_same_however_the_work_was_divided_into_runs(
    tmp_path: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    """A late shard, a damaged part, and other kept columns: what is not scored again keeps its statistics."""
    settings = settings_for(**SLICES, input=STARS)
    write_shard(tmp_path, "a")
    run_here(settings)
    write_shard(tmp_path, "b")
    run_here(settings)
    in_two_runs = manifest(tmp_path / "out")
    part = next((tmp_path / "out").glob("part-*.parquet"))
    part.write_bytes(b"x" + part.read_bytes()[1:])
    run_here(settings)
    mended = manifest(tmp_path / "out")
    run_here(settings_for(**SLICES, input={**STARS, "keep_columns": ["id"]}))
    run_here(settings)
    taken_over = manifest(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    run_here(settings)
    assert in_two_runs == mended == taken_over == manifest(tmp_path / "out")
    assert metrics(tmp_path / "out")["statistics"]["scored"] == 14


def test_truth_decides_no_score_so_what_is_published_stays_complete(
    tmp_path: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    write_shard(tmp_path, "a")
    kept = {"keep_columns": ["id"]}
    before = run_here(settings_for(**SLICES, input=kept))
    for truth in (STARS, {"truth_column": "id"}):
        settings = settings_for(**SLICES, input={**kept, **truth})
        after = run_here(settings, replace=True)
        assert (after.status, after.version) == ("COMPLETE", before.version)
    assert read_output(tmp_path / "out").column_names[0] == "id"
    assert "stars" not in read_output(tmp_path / "out").column_names
    assert metrics(tmp_path / "out")["truth"] is None
    # A shard that comes later is evaluated, but a part of the night is no evaluation of the night.
    write_shard(tmp_path, "b")
    run_here(settings_for(**SLICES, input={**kept, **STARS}))
    told = manifest(tmp_path / "out")["shards"]
    assert told[0]["truth"] is None
    assert told[1]["truth"]["rows"] == 3
    assert metrics(tmp_path / "out")["truth"] is None
    # Truths that were read by other settings are not added to these.
    shown = run_here(settings_for(**SLICES, input={**kept, **STARS, "truth_labels": {1: "LABEL_1"}}))
    assert shown.status == "COMPLETE"
    # With other kept columns all truth is read anew.
    run_here(settings_for(**SLICES, input=STARS))
    assert metrics(tmp_path / "out")["truth"]["rows"] == 6


def test_a_truth_that_can_not_be_is_refused_before_work_starts(tmp_path: Path, settings_for: SettingsMaker) -> None:
    write_shard(tmp_path, "a")
    with pytest.raises(InputError, match=r"input.truth_column: .*has no column 'star'; did you mean 'stars'\?"):
        discover(settings_for(input={"truth_column": "star"}))
    with pytest.raises(
        SettingsError, match=r"input.truth_labels: the truth of '5' is to be 'LABEL1', which is no label"
    ):
        make_plan(discover(settings_for(input={"truth_column": "stars", "truth_labels": {5: "LABEL1"}})))
    write_parquet(tmp_path / "in" / "a.parquet", {"text": ["a"], "stars": [[1]]})
    with pytest.raises(InputError, match="it must be text, numbers or booleans"):
        discover(settings_for(input={"truth_column": "stars"}))


def test_a_value_that_is_no_truth_rejects_no_row(
    tmp_path: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text("text,stars\ngood,1\nbad,five\nfine,\n")
    typed = {"keep_columns": [], "csv": {"column_types": {"stars": "int64"}}}
    outcome = run_here(settings_for(input={**typed, "truth_column": "stars"}))
    assert (outcome.scored, outcome.rejected) == (3, 0)
    truth = metrics(tmp_path / "out")["truth"]
    assert [truth[name] for name in ("rows", "without_truth", "unknown")] == [1, 1, 1]


def test_a_run_that_was_killed_before_its_metrics_leaves_them_to_the_next(
    tmp_path: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    write_shard(tmp_path, "a")
    run_here(settings_for(**SLICES, input=STARS))
    before = metrics(tmp_path / "out")
    (tmp_path / "out" / "_metrics.json").unlink()
    again = run_here(settings_for(**SLICES, input=STARS))
    after = metrics(tmp_path / "out")
    assert again.status == "COMPLETE"
    assert again.mean_score == before["mean_score"]
    for name in ("statistics", "truth", "score_version", "manifest_sha256"):
        assert after[name] == before[name] is not None
    content = (tmp_path / "out" / "_metrics.json").read_bytes()
    run_here(settings_for(**SLICES, input=STARS))
    assert (tmp_path / "out" / "_metrics.json").read_bytes() == content


def test_a_result_of_an_earlier_release_is_complete_and_has_no_statistics(
    tmp_path: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    write_shard(tmp_path, "a")
    run_here(settings_for(**SLICES))
    without_statistics(tmp_path / "out")
    again = run_here(settings_for(**SLICES))
    assert (again.status, again.mean_score) == ("COMPLETE", None)
    assert not (tmp_path / "out" / "_metrics.json").exists()
    write_shard(tmp_path, "b")
    assert run_here(settings_for(**SLICES)).status == "PUBLISHED"
    assert metrics(tmp_path / "out")["statistics"] is None
    assert [shard["statistics"] is None for shard in manifest(tmp_path / "out")["shards"]] == [True, False]
    assert verify(str(tmp_path / "out"))[1] == []


def without_statistics(folder: Path) -> None:
    """Leave of a published output what a release without statistics would have left."""
    import hashlib

    told = json.loads((folder / "_manifest.json").read_text())
    for shard in told["shards"]:
        del shard["statistics"], shard["truth"]
    content = (json.dumps(told, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
    (folder / "_manifest.json").write_bytes(content)
    success = json.loads((folder / "_SUCCESS").read_text())
    success["manifest_sha256"] = hashlib.sha256(content).hexdigest()
    (folder / "_SUCCESS").write_text(json.dumps(success))
    (folder / "_metrics.json").unlink()


def test_the_sample_says_how_often_its_scores_are_right_as_scikit_learn_does(tmp_path: Path) -> None:
    reviews = pq.read_table(ROOT / "configs" / "sample" / "reviews").slice(100, 400)
    write_parquet(tmp_path / "in" / "a.parquet", reviews)
    options = {
        "input.path": f"{tmp_path}/in",
        "output.path": f"{tmp_path}/out",
        "input.keep_columns": "[rating, text]",
    }
    given = [part for key, value in options.items() for part in ("--set", f"{key}={value}")]
    ended = nightscore("run", str(ROOT / "configs" / "sample.yaml"), "--local", *given)
    assert ended.returncode == 0, ended.stderr
    output = read_output(tmp_path / "out").to_pandas()
    known = output[output.rating.isin([1, 2, 4, 5])]
    names = ["NEGATIVE", "POSITIVE"]
    true = np.where(known.rating > 3, *reversed(names))
    told = metrics(tmp_path / "out")["truth"]
    f1 = f1_score(true, known.label, labels=names, average=None)
    confusion = confusion_matrix(true, known.label, labels=names)
    assert told["rows"] == len(known)
    assert told["accuracy"] == accuracy_score(true, known.label)
    assert [told["f1"][name] for name in names] == pytest.approx(list(f1), abs=1e-12)
    assert [[told["confusion"][one].get(other, 0) for other in names] for one in names] == confusion.tolist()
    (line,) = lines_about(ended.stderr, "truth")
    assert f"{accuracy_score(true, known.label):.1%} of {len(known)} labels are right" in line
    assert f"{min(f1):.3f} {names[int(np.argmin(f1))]}" in line
    examples = ended.stderr.split("examples ")[1].splitlines()[:3]
    for example, row in zip(examples, output.head(3).itertuples(), strict=True):
        assert example.strip().startswith(
            f"{row.label} {row.score:.3f}  {str(row.text)[:20].split(chr(10))[0].strip()}"
        )
    assert lines_about(ended.stderr, "note") == []
    again = nightscore("run", str(ROOT / "configs" / "sample.yaml"), "--local", *given, *OTHER_TRUTH)
    assert again.stdout.startswith("COMPLETE"), again.stderr
    (note,) = lines_about(again.stderr, "note")
    assert note.startswith("no truth is shown, since rows of this output were scored with other settings for")
