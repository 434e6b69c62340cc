"""Gates that keep a bad result from readers, and what rejects show of their texts."""

import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline_lib.errors import GateError
from pipeline_lib.planning.discovery import discover
from pipeline_lib.planning.planner import make_plan
from pipeline_lib.publishing.gates import check_gates
from pipeline_lib.publishing.verifier import verify
from pipeline_lib.storage.records import Drift
from tests.conftest import Runner, SettingsMaker, write_parquet


def test_an_input_without_rows_is_not_published_unless_that_is_allowed(
    tmp_path: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    write_parquet(
        tmp_path / "in" / "a.parquet",
        {"text": pq.read_table(write_parquet(tmp_path / "x.parquet", {"text": ["a"]})).slice(1).column("text")},
    )
    with pytest.raises(GateError, match=r"the input has 0 rows, limits.min_rows is 1; nothing is published"):
        run_here(settings_for())
    assert run_here(settings_for(limits={"min_rows": 0})).status == "PUBLISHED"


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_is_measured_against_float32_and_can_be_refused(
    precision: str, tmp_path: Path, settings_for: SettingsMaker, run_job: Runner
) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"text": [f"text {row} good" for row in range(60)] + [None]})
    half = {"model": {"precision": precision}, "tuning": {"rows_per_slice": 20}}
    with pytest.raises(
        GateError, match=rf"scores in {precision} are up to 0\.\d+ from float32 in a sample of \d+ rows"
    ):
        run_job(settings_for(**half, limits={"max_precision_drift": 0.0}))
    assert not (tmp_path / "out" / "_SUCCESS").exists()
    assert run_job(settings_for(**half, limits={"max_precision_drift": 0.5})).rows_this_run == 0
    manifest, problems = verify(str(tmp_path / "out"))
    assert problems == []
    assert manifest.drift
    assert manifest.drift.rows == 20
    assert 0 < manifest.drift.largest < 0.1
    shutil.rmtree(tmp_path / "out")
    run_job(settings_for(tuning={"rows_per_slice": 20}))
    assert verify(str(tmp_path / "out"))[0].drift is None


def test_labels_that_differ_from_those_in_float32_stop_a_result_beyond_their_limit(
    tmp_path: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"text": [f"text {row}" for row in range(10)]})
    half: dict[str, Any] = {"model": {"precision": "bfloat16"}}
    run_here(settings_for(**half))
    manifest, _ = verify(str(tmp_path / "out"))
    flipped = manifest.model_copy(update={"drift": Drift(rows=200, flips=5, largest=0.01)})
    for limit, stops in ((0.02, True), (0.025, False), (None, False)):
        plan = make_plan(discover(settings_for(**half, limits={"max_precision_flips": limit})))
        told = r"5 of a sample of 200 rows \(2\.500%\) have another label in bfloat16 .*flips is 2\.000%"
        with pytest.raises(GateError, match=told) if stops else nullcontext():
            assert check_gates(plan, flipped) is None


@pytest.mark.parametrize("texts", [False, True])
def test_rejects_have_the_text_only_if_asked(
    texts: bool, tmp_path: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"id": [1, 2, 3], "text": ["secret words", "  ", None]})
    run_here(
        settings_for(
            input={"blank_texts": "reject"}, output={"rejected_texts": texts}, limits={"max_reject_rate": 1.0}
        )
    )
    found = pq.read_table(tmp_path / "out" / "_rejects")
    assert found.column("id").to_pylist() == [2, 3]
    assert ("rejected_text" in found.column_names) == texts
    if texts:
        assert found.column("rejected_text").to_pylist() == ["  ", None]
    everything = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*.json"))
    assert b"secret words" not in everything
