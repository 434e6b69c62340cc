"""Rows that fail or kill a worker are rejected alone, passing faults are retried, killed workers change no byte."""

import shutil
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest

from pipeline_lib import Scorer
from pipeline_lib.errors import FaultError
from tests.conftest import Runner, SettingsMaker, read_output, write_parquet
from tests.helpers.checkpoints import poisoned
from tests.helpers.processes import kill, workers
from tests.helpers.watching.published import published_hashes


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_rows_that_fail_or_kill_are_rejected_alone_and_a_passing_fault_is_retried(
    tmp_path: Path, checkpoint: Path, settings_for: SettingsMaker, run_job: Runner
) -> None:
    flag = tmp_path / "flag"
    bad = poisoned.build(checkpoint, tmp_path / "poisoned", flag)
    texts = [f"text {row % 6} good" for row in range(24)]
    for row, word in ((3, poisoned.FAILS), (10, poisoned.FAILS), (13, poisoned.KILLS), (20, poisoned.PASSES)):
        texts[row] += f" {word}"
    texts[9] = texts[11] = texts[22] = texts[13]  # equal texts are accused at once, in other slices too
    write_parquet(tmp_path / "in" / "a.parquet", {"id": range(24), "text": texts})
    flag.touch()
    outcome = run_job(
        settings_for(
            model={"name": str(bad), "allow_remote_code": True},
            limits={"max_reject_rate": 1.0},
            tuning={"rows_per_slice": 8, "tokens_per_batch": 24},
        )
    )
    assert not flag.exists(), "the passing fault never came"
    assert (outcome.rows, outcome.rejected) == (24, 6)
    rejects = pq.read_table(tmp_path / "out" / "_rejects").to_pylist()
    assert {(reject["row"], reject["code"]) for reject in rejects} == {
        (3, "model_failed"),
        (10, "model_failed"),
        (9, "killed_worker"),
        (11, "killed_worker"),
        (13, "killed_worker"),
        (22, "killed_worker"),
    }
    scored = read_output(tmp_path / "out").sort_by("id")
    healthy = Scorer({"model": {"name": str(checkpoint)}})(
        scored.select(["id"]).append_column("text", [[texts[row] for row in scored.column("id").to_pylist()]])
    )
    assert scored.column("label").to_pylist() == healthy.column("label").to_pylist()
    np.testing.assert_allclose(scored.column("score"), healthy.column("score"), atol=1e-5)


@pytest.mark.slow
def test_a_model_that_kills_its_process_while_it_loads_is_named_and_not_loaded_for_ever(
    tmp_path: Path, checkpoint: Path, settings_for: SettingsMaker, run_job: Runner
) -> None:
    bad = poisoned.build(checkpoint, tmp_path / "poisoned", tmp_path / "flag", at_start=True)
    write_parquet(tmp_path / "in" / "a.parquet", {"text": ["a"]})
    with pytest.raises(FaultError, match="the model process died 3 times while it loaded the checkpoint"):
        run_job(settings_for(model={"name": str(bad), "allow_remote_code": True}))


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_slice_whose_reading_kills_each_worker_is_named_and_not_read_for_ever(
    tmp_path: Path, checkpoint: Path, settings_for: SettingsMaker, run_job: Runner
) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"text": [f"text {row}" for row in range(8)]})
    deadly = write_parquet(tmp_path / "in" / "b.parquet", {"text": [f"text {row}" for row in range(8)]})
    bad = poisoned.build(checkpoint, tmp_path / "poisoned", tmp_path / "flag", unreadable=deadly)
    model = {"name": str(bad), "allow_remote_code": True, "engine": "torch"}
    settings = settings_for(model=model, tuning={"rows_per_slice": 8})
    with pytest.raises(FaultError, match=r"b\.parquet': 5 workers died while they read rows 0 to 7; is there"):
        run_job(settings)
    assert len(list(tmp_path.glob("out/_staging/*/part-00000-*.parquet"))) == 1, "the other shard was not scored"


@pytest.mark.slow
@pytest.mark.parametrize("actor", ["ModelActor", "ReaderActor"])
def test_a_worker_that_is_killed_in_the_middle_changes_no_byte(
    actor: str, settings_for: SettingsMaker, run_here: Runner, run_job: Runner, tmp_path: Path
) -> None:
    texts = [None if row % 50 == 0 else f"text {row} good " * 8 for row in range(1200)]
    write_parquet(tmp_path / "in" / "a.parquet", {"text": texts})
    settings = settings_for(
        tuning={"rows_per_slice": 20, "model_actors": 2, "reader_actors": int(actor == "ReaderActor")}
    )
    run_here(settings)
    undisturbed = published_hashes(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    killed: list[int] = []
    parts_before = 5 if actor == "ModelActor" else 0  # a reader has soon read everything

    def strike() -> None:
        while len(list(tmp_path.glob("out/_staging/*/part-*.json"))) < parts_before or not found():
            time.sleep(0.01)
        killed.append(kill(found()[:1]))

    def found() -> list[psutil.Process]:
        return workers(psutil.Process().pid, actor)

    striker = threading.Thread(target=strike, daemon=True)
    striker.start()
    run_job(settings)
    striker.join(timeout=1)
    assert killed == [1]
    assert published_hashes(tmp_path / "out") == undisturbed
