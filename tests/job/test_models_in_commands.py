"""Several models over one reading: the commands, and models that stop no other."""

import json
from pathlib import Path

from pipeline_lib.settings.settings_file import parse_jobs
from tests.helpers.command_line import error_line, nightscore
from tests.helpers.model_sets import config_of, run_models, sections_of, three, write_shards
from tests.helpers.watching.nights import night, write_night


def test_a_model_that_can_not_be_published_stops_no_other(tmp_path: Path, checkpoints: Path) -> None:
    """One output holds another version, and one checkpoint is missing."""
    write_shards(tmp_path)
    models = three(checkpoints)
    run_models(parse_jobs(sections_of(tmp_path, {"tone": {"name": str(models["tone"]), "max_tokens": 32}})))
    config = config_of(tmp_path, {**models, "lost": tmp_path / "nowhere"})
    ended = nightscore("run", str(config), "--local")
    assert ended.returncode == 2, ended.stderr
    told = dict(line.split(" ", 2)[:2] for line in ended.stdout.splitlines())
    assert told == {"tone": "FAILED", "Mood2": "PUBLISHED", "topic": "PUBLISHED", "lost": "FAILED"}
    assert "tone: " in ended.stderr
    assert "holds version" in ended.stderr


def test_a_limit_that_holds_one_model_holds_no_other(tmp_path: Path, checkpoints: Path) -> None:
    write_shards(tmp_path)
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
