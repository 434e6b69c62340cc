"""Shards that change: while they are scored, and between two runs."""

import os
import threading
from pathlib import Path

import pytest

from pipeline_lib.errors import FaultError
from pipeline_lib.publishing.verifier import verify
from tests.conftest import Runner, SettingsMaker, read_output, write_parquet
from tests.helpers.started_runs import wait_for
from tests.helpers.watching.published import published_hashes


@pytest.mark.slow
def test_a_shard_that_changes_while_it_is_scored_is_a_fault_and_the_next_run_scores_what_it_holds_now(
    tmp_path: Path, settings_for: SettingsMaker, run_job: Runner
) -> None:
    shard = write_parquet(tmp_path / "in" / "b.parquet", {"id": range(600), "text": ["x"] * 600})

    def replace() -> None:
        wait_for(tmp_path, "out/_staging/*/part-*.json")
        write_parquet(tmp_path / "new.parquet", {"id": range(1000, 1600), "text": ["y"] * 600}).rename(shard)

    replacer = threading.Thread(target=replace, daemon=True)
    replacer.start()
    with pytest.raises(FaultError, match="was changed while the job ran; run again"):
        run_job(settings_for(tuning={"rows_per_slice": 10}))
    replacer.join()
    assert not (tmp_path / "out" / "_SUCCESS").exists()
    run_job(settings_for(tuning={"rows_per_slice": 10}))
    assert sorted(read_output(tmp_path / "out").column("id").to_pylist()) == list(range(1000, 1600))


def test_neither_name_nor_time_decides_what_is_scored_again_but_content_does(
    tmp_path: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    shard = write_parquet(tmp_path / "in" / "a.parquet", {"id": [1, 2], "text": ["x", "y"]})
    write_parquet(tmp_path / "in" / "b.parquet", {"id": [3], "text": ["y"]})
    run_here(settings_for())
    before = published_hashes(tmp_path / "out")
    os.utime(shard, (1, 1))  # also a clock that went backwards
    assert run_here(settings_for()).status == "COMPLETE"
    assert published_hashes(tmp_path / "out") == before

    size = shard.stat().st_size
    write_parquet(shard, {"id": [1, 2], "text": ["x", "z"]})
    assert shard.stat().st_size == size
    os.utime(shard, (1, 1))
    outcome = run_here(settings_for())
    assert (outcome.status, outcome.rows_this_run) == ("PUBLISHED", 2)
    assert verify(str(tmp_path / "out"))[1] == []
