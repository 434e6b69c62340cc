"""`run --accept`: what a gate stops is published if somebody says why."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pipeline_lib import pipeline
from pipeline_lib.errors import GateError
from pipeline_lib.execution.local_executor import LocalExecutor
from pipeline_lib.reporting.terminal.progress import Progress
from pipeline_lib.settings.settings import Settings
from tests.conftest import Runner, SettingsMaker, write_parquet
from tests.helpers.command_line import nightscore
from tests.helpers.watching.run_records import everything, only_record, records, written

DATE = dt.date(2026, 11, 22)


def accepted(settings: Settings, why: str | None) -> Any:
    """Run with `--accept`."""
    return pipeline.run(settings, None, Progress(Console(quiet=True)), LocalExecutor(), accept=why)


@pytest.mark.parametrize("gate", ["max_reject_rate", "min_rows", "max_precision_drift"])
def test_a_result_that_a_gate_stops_is_published_if_somebody_says_why(
    gate: str, tmp_path: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"text": [f"text {row}" for row in range(40)] + [None]})
    limits = {"max_reject_rate": 0.0} if gate == "max_reject_rate" else {gate: 0.0 if "drift" in gate else 50}
    settings = settings_for(
        model={"precision": "bfloat16" if "drift" in gate else "float32"}, limits={"max_reject_rate": 1.0, **limits}
    )
    with pytest.raises(GateError, match=rf'limits\.{gate} is .*; to publish it all the same: run --accept "why"$'):
        run_here(settings)
    outcome = accepted(settings, "  the shop was\nclosed ")
    assert outcome.status == "PUBLISHED"
    assert outcome.closing_line().endswith(f", accepted in spite of {gate}")
    manifest = json.loads((tmp_path / "out" / "_manifest.json").read_text())
    assert manifest["accepted"]["why"] == "the shop was closed"
    assert list(manifest["accepted"]["gates"]) == [gate]
    record = records(tmp_path / "out")[0]
    assert record.accepted
    assert record.accepted.model_dump() == manifest["accepted"]
    before = everything(tmp_path / "out")
    assert run_here(settings).status == "COMPLETE"
    after = everything(tmp_path / "out")
    assert {path: after[path] for path in before} == before
    assert nightscore("verify", str(written(tmp_path, settings))).returncode == 0


def test_accepting_what_no_gate_stops_is_said_to_be_needless_and_changes_no_byte(
    tmp_path: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"text": ["a", "b"]})
    run_here(settings_for())
    settings = settings_for(output={"path": str(tmp_path / "other")})
    ended = nightscore("run", str(written(tmp_path, settings)), "--local", "--accept", "why not")
    assert ended.returncode == 0, ended.stderr
    assert "note     --accept was not needed: no gate stopped this result" in ended.stderr
    assert "accepted" not in ended.stdout
    assert (tmp_path / "other" / "_SUCCESS").read_bytes() != b""
    manifests = [json.loads((tmp_path / name / "_manifest.json").read_text()) for name in ("out", "other")]
    for manifest in manifests:
        del manifest["settings"]
    assert manifests[0] == manifests[1]
    assert "accepted" not in manifests[0]
    record = only_record(tmp_path / "other")
    assert record.accepted
    assert record.accepted.model_dump() == {"why": "why not", "gates": {}}


@pytest.mark.parametrize("words", ["", " \n"])
def test_accepting_without_words_is_refused(words: str, tmp_path: Path, settings_for: SettingsMaker) -> None:
    ended = nightscore("run", str(written(tmp_path, settings_for())), "--local", "--accept", words)
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: --accept needs words that say why")
    assert not (tmp_path / "out").exists()
