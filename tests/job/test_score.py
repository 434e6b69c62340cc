"""The command line as its users meet it: what it prints, and its exit codes."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline_lib.settings.settings_file import load_settings, settings_schema
from tests.conftest import ROOT, Runner, read_output, write_parquet
from tests.helpers.checkpoints import tiny_checkpoints
from tests.helpers.command_line import error_line, lines_about, nightscore, nightscore_program


@pytest.fixture
def config(tmp_path: Path, checkpoint: Path, one_ray: None) -> Path:
    """A settings file for two shards that are right."""
    del one_ray  # for what a command does in this process
    for name in ("a", "b"):
        write_parquet(tmp_path / "in" / f"{name}.parquet", {"id": range(5), "text": ["one", "two", "", "x", "y"]})
    values: dict[str, Any] = {
        "model": {"name": str(checkpoint)},
        "input": {"path": str(tmp_path / "in")},
        "output": {"path": str(tmp_path / "out")},
        "tuning": {"model_actors": 1, "tokenizer_actors": 1},
    }
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


@pytest.mark.slow
def test_run_publishes_says_so_in_its_last_line_and_is_quiet_otherwise(config: Path, tmp_path: Path) -> None:
    result = nightscore_program("run", str(config), "--set", "output.scores=all")
    assert result.returncode == 0, result.stderr
    assert re.fullmatch(
        r"PUBLISHED in=10 scored=10 rejected=0 \(0\.000%\) [\d.ms]+ [\d,]+ rows/s with start-up",
        result.stdout.strip(),
    )
    topics = {line[:8].strip() for line in result.stderr.splitlines()} - {""}
    plan, work = {"input", "model", "labels", "columns", "output"}, {"start", "workers", "scoring", "publish"}
    assert topics <= plan | work | {"speed", "memory", "result", "scores", "open", "page"}, result.stderr
    (record,) = (tmp_path / "out" / "_runs").iterdir()
    assert json.loads(record.read_text())["line"] == result.stdout.strip()
    again = nightscore_program("run", str(config), "--set", "output.scores=all")
    assert again.returncode == 0
    assert again.stdout.startswith("COMPLETE in=10 scored=10 rejected=0")
    for said in (result.stderr, again.stderr):
        assert lines_about(said, "result") == [
            f"{tmp_path}/out: 10 rows in 2 files, with id, label, score, scores, n_tokens, truncated"
        ]
        assert sum(int(rows) for rows in re.findall(r"^ {9}\w+ +█* +(\d+) +[\d.]+%$", said, re.MULTILINE)) == 10
        (opening,) = lines_about(said, "open")
        shown = subprocess.run(opening, shell=True, capture_output=True, text=True, check=True)  # noqa: S602 - as told
        assert len(shown.stdout.splitlines()) == 11
    verified = nightscore_program("verify", str(config))
    assert verified.returncode == 0
    assert verified.stdout.startswith("VERIFIED in=10 scored=10 rejected=0 files=2")


def test_plan_shows_what_would_be_done_and_touches_nothing(config: Path, tmp_path: Path) -> None:
    result = nightscore("plan", str(config))
    assert result.returncode == 0, result.stderr
    for said in (
        "2 shards, 10 rows, 2 slices",
        "BertForSequenceClassification",
        "up to 64 tokens",
        "softmax",
        "CPU",
    ):
        assert said in result.stdout
    assert not (tmp_path / "out").exists()


def test_rejects_are_reported_by_reason_and_place(config: Path, tmp_path: Path) -> None:
    write_parquet(tmp_path / "in" / "c.parquet", {"id": [1, 2], "text": [None, " "]})
    options = ["--set", "input.blank_texts=reject", "--set", "limits.max_reject_rate=1.0"]
    result = nightscore("run", str(config), *options)
    assert result.returncode == 0, result.stderr
    assert lines_about(result.stderr, "rejects") == [
        f"4 rows, by reason: 3 blank_text, 1 null_text; each is in {tmp_path}/out/_rejects"
    ]


def test_plan_and_run_say_which_columns_are_scored_and_kept_and_how_to_keep_the_text(
    config: Path, tmp_path: Path, run_here: Runner
) -> None:
    said = nightscore("plan", str(config)).stdout
    assert lines_about(said, "columns") == ["text is scored; kept: id"]
    (hint,) = lines_about(said, "")
    assert hint == "text will not be in the output; keep it with --set 'input.keep_columns=[id, text]'"
    override = hint.rpartition("--set ")[2].strip("'")
    kept = nightscore("plan", str(config), "--set", override).stdout
    assert lines_about(kept, "columns") == ["text is scored; kept: id, text"]
    assert lines_about(kept, "") == []
    run_here(load_settings(config, [override]))
    assert read_output(tmp_path / "out").column("text").to_pylist()[:3] == ["one", "two", ""]


def test_a_plan_counts_in_singular_too(config: Path, tmp_path: Path) -> None:
    (tmp_path / "in" / "b.parquet").unlink()
    said = nightscore("plan", str(config)).stdout
    assert lines_about(said, "to do") == ["1 slice"]
    assert "1 shard, 5 rows, 1 slice" in said


def test_another_version_is_refused_with_what_differs_old_and_new(
    config: Path, tmp_path: Path, checkpoint: Path, run_here: Runner
) -> None:
    run_here(load_settings(config))
    more = ("--set", "output.logits=true", "--set", "model.max_tokens=9", "--set", "tuning.rows_per_slice=3")
    message = error_line(nightscore("plan", str(config), *more))
    assert "output.logits was False, is now True" in message
    assert "the limit in tokens was 64, is now 9" in message
    assert "tuning.rows_per_slice was 1024, is now 3" in message
    assert "--replace" in message
    message = error_line(nightscore("plan", str(config), "--set", "input.blank_texts=reject"))
    assert "input.blank_texts was 'score', is now 'reject'; publish" in message
    other = tiny_checkpoints.build(tiny_checkpoints.Recipe("distilbert"), tmp_path / "other")
    message = error_line(nightscore("plan", str(config), "--set", f"model.name={other}"))
    assert (
        f"the checkpoint's content differs (model.name was {str(checkpoint)!r}, is now {str(other)!r})" in message
    )


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("output.logit=true", "unknown setting 'output.logit'; did you mean 'output.logits'?"),
        ("modle.name=x", "unknown setting 'modle"),
        (
            "model.precision=float8",
            "model.precision: Input should be 'float32', 'bfloat16', 'float16', 'int8' or 'auto'",
        ),
        ("limits.max_reject_rate=2", "limits.max_reject_rate: Input should be less than or equal to 1 (found 2)"),
        ("output.logits", "expected key=value"),
        ("input.text_column=txt", "has no column 'txt'; did you mean 'text'?"),
        ("input.text_column=id", "column 'id' of"),
        ("input.keep_columns=[idd]", "has no column 'idd'; did you mean 'id'?"),
        ("input.path=/nowhere/at/all", "no such file or folder: '/nowhere/at/all'"),
        ("model.name=./no-such-model", "no folder './no-such-model'"),
        ("model.name=configs", "holds no config.json"),
        ("model.name=nobody/nothing", "'nobody/nothing' is no folder here, is not in the cache"),
        ("model.max_tokens=2", "model.max_tokens: 2 leaves no room for text"),
        ("input.csv.encoding=utf-99", "no such encoding"),
        ("output.path=gopher://x", "can't open this kind of URL"),
        ("input.keep_columns=id", "input.keep_columns: Input should be a valid list, such as [id] (found 'id')"),
        ("tuning.device=cpu", "unknown setting 'tuning.device'; did you mean 'tuning.gpus_per_model_actor'?"),
        ("tuning.zzzz=1", "unknown setting 'tuning.zzzz' (known: 'tuning.rows_per_slice', "),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line(override: str, message: str, config: Path) -> None:
    assert message in error_line(nightscore("run", str(config), "--set", override))


def test_a_truncated_shard_is_refused_by_name(config: Path, tmp_path: Path) -> None:
    shard = tmp_path / "in" / "b.parquet"
    shard.write_bytes(shard.read_bytes()[:-20])
    message = error_line(nightscore_program("run", str(config)))
    assert "b.parquet' is not a whole Parquet file" in message


def test_a_checkpoint_without_a_trained_head_is_refused(config: Path, tmp_path: Path, checkpoint: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(checkpoint, tmp_path / "headless")
    weights = load_file(folder / "model.safetensors")
    save_file(
        {name: tensor for name, tensor in weights.items() if "classifier" not in name},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    message = error_line(nightscore("plan", str(config), "--set", f"model.name={folder}"))
    assert "lacks the weights 'classifier.bias', 'classifier.weight'" in message


def test_pickled_weights_are_refused_unless_the_settings_allow_them(
    config: Path, tmp_path: Path, checkpoint: Path
) -> None:
    import torch
    from safetensors.torch import load_file

    folder = shutil.copytree(checkpoint, tmp_path / "pickled")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    name = ("--set", f"model.name={folder}")
    assert "to trust it set model.allow_pickle" in error_line(nightscore("plan", str(config), *name))
    assert nightscore("plan", str(config), *name, "--set", "model.allow_pickle=true").returncode == 0


def test_code_that_comes_with_a_checkpoint_is_refused_by_name(
    config: Path, tmp_path: Path, checkpoint: Path
) -> None:
    folder = shutil.copytree(checkpoint, tmp_path / "remote")
    values = json.loads((folder / "config.json").read_text())
    values |= {"model_type": "mine", "auto_map": {"AutoConfig": "mine.MyConfig"}}
    (folder / "config.json").write_text(json.dumps(values))
    (folder / "mine.py").write_text("raise SystemExit('ran')\n")
    message = error_line(nightscore("plan", str(config), "--set", f"model.name={folder}"))
    assert "to trust it set model.allow_remote_code" in message


def test_labels_that_do_not_count_from_zero_are_refused(config: Path, tmp_path: Path, checkpoint: Path) -> None:
    folder = shutil.copytree(checkpoint, tmp_path / "labels")
    values = json.loads((folder / "config.json").read_text())
    values["id2label"] = {"1": "bad", "2": "good"}
    (folder / "config.json").write_text(json.dumps(values))
    message = error_line(nightscore("plan", str(config), "--set", f"model.name={folder}"))
    assert "id2label must number its labels 0, 1, 2" in message


def test_a_missing_settings_file_names_the_nearest_one() -> None:
    message = error_line(nightscore("run", "configs/smaple.yaml"))
    assert "no settings file 'configs/smaple.yaml'; did you mean 'configs/sample.yaml'?" in message


def test_a_date_must_be_a_date_and_have_a_place(config: Path) -> None:
    assert "expected YYYY-MM-DD" in error_line(nightscore("run", str(config), "--date", "yesterday"))
    assert "neither input.path nor output.path" in error_line(
        nightscore("run", str(config), "--date", "2026-11-22")
    )
    dated = ("--set", "output.path=/x/{date}")
    assert "give the day with --date" in error_line(nightscore("run", str(config), *dated))


def test_a_day_without_input_exits_5_so_that_a_scheduler_can_wait(config: Path, tmp_path: Path) -> None:
    path = ("--set", f"input.path={tmp_path}/in/ds={{date}}/*.parquet")
    message = error_line(nightscore("run", str(config), "--date", "2026-11-22", *path), code=5)
    assert message.startswith("error: the input of 2026-11-22 is not there yet: ")
    assert "ds=2026-11-22" in message
    out = ("--set", f"output.path={tmp_path}/{{date}}", "--set", "input.path=nowhere")
    assert "the input of 2026-11-23 is not there" in error_line(
        nightscore("plan", str(config), "--date", "2026-11-23", *out), code=5
    )


def test_a_failed_gate_exits_3(config: Path, tmp_path: Path) -> None:
    write_parquet(tmp_path / "in" / "c.parquet", {"id": [1], "text": [None]})
    result = nightscore("run", "--local", str(config))
    assert result.returncode == 3, result.stderr
    assert "1 of 11 rows were rejected (9.091%), limits.max_reject_rate is 5.000%" in result.stderr


@pytest.mark.parametrize("command", ["run", "plan", "verify", "backfill", "schema"])
def test_every_command_has_help(command: str) -> None:
    result = nightscore_program(command, "--help")
    assert result.returncode == 0
    assert "Usage: python -m jobs.score" in result.stdout
    assert "{date}" in result.stdout or command in {"backfill", "schema"}


def test_verify_names_each_damaged_file(config: Path, tmp_path: Path) -> None:
    assert nightscore("run", "--local", str(config)).returncode == 0
    first, second = sorted((tmp_path / "out").glob("part-*.parquet"))
    content = bytearray(first.read_bytes())
    content[50] ^= 1
    first.write_bytes(bytes(content))
    second.unlink()
    shutil.copy(first, tmp_path / "out" / "stranger.parquet")
    result = nightscore("verify", str(config))
    assert result.returncode == 3
    assert f"{first.name}: has other content than was written" in result.stderr
    assert f"{second.name}: is missing" in result.stderr
    assert "stranger.parquet: is not in _manifest.json" in result.stderr


def test_the_schema_for_editors_is_that_of_the_settings() -> None:
    committed = json.loads((ROOT / "configs" / "settings.schema.json").read_text())
    assert committed == settings_schema()
