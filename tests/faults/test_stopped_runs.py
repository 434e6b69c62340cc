"""Runs that are stopped or killed: they end within seconds, leave no process, and the next run completes them."""

import json
import re
import shutil
import signal
import time
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline_lib.publishing.verifier import verify
from pipeline_lib.settings.settings_file import load_settings
from tests.conftest import Runner, write_parquet
from tests.helpers.processes import kill, process_tree, survivors, wait_for_handler, workers
from tests.helpers.started_runs import job, start, wait_for
from tests.helpers.watching.published import published_hashes


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0, 1, 2, 4])
def test_sigterm_while_ray_starts_ends_the_run_with_one_error_line(
    seconds: int, tmp_path: Path, checkpoint: Path
) -> None:
    run = start(job(tmp_path, checkpoint, 2_000, tmp_path / "out"))
    wait_for_handler(run.pid, signal.SIGTERM)
    time.sleep(seconds)
    everyone = process_tree(run.pid)
    run.send_signal(signal.SIGTERM)
    said, _ = run.communicate(timeout=30)
    assert run.returncode == 1, said
    error, closing = said.splitlines()[-2:]
    assert error.startswith("error: stopped by SIGTERM; run the same command again")
    assert closing.startswith("STOPPED ")
    assert "Traceback" not in said
    assert not list(survivors(everyone, 10))


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_sigterm_ends_a_run_within_seconds_a_kill_leaves_nothing_behind_and_the_next_run_goes_on(
    tmp_path: Path, checkpoint: Path
) -> None:
    config = job(tmp_path, checkpoint, 20_000, tmp_path / "out")
    run = start(config)
    wait_for(tmp_path, "out/_staging/*/part-*.json")
    everyone = process_tree(run.pid)
    run.send_signal(signal.SIGTERM)
    said, _ = run.communicate(timeout=30)
    assert run.returncode == 1, said
    error, closing = said.splitlines()[-2:]
    assert error == "error: stopped by SIGTERM; run the same command again to go on where it stopped"
    assert "Traceback" not in said
    assert not list(survivors(everyone, 10))
    staged = len(list(tmp_path.glob("out/_staging/*/part-*.json")))
    told = re.fullmatch(
        r"STOPPED in=20,000 scored=([\d,]+) rejected=0 staged=(\d+) of 200 slices [\d.ms]+", closing
    )
    assert told, closing
    rows, slices = (int(number.replace(",", "")) for number in told.groups())
    assert rows == 100 * slices
    assert 1 <= slices <= staged
    (record,) = (json.loads(path.read_text()) for path in tmp_path.glob("out/_runs/*.json"))
    assert (record["status"], record["error"]) == ("STOPPED", "stopped by SIGTERM")
    assert (record["scored"], record["staged_slices"], record["rows_this_run"]) == (rows, slices, rows)

    run = start(config)
    wait_for(tmp_path, f"out/_staging/*/part-00000-{100 * (staged + 20):09}.json")
    everyone = process_tree(run.pid)
    assert kill(everyone[:1]) == 1
    run.communicate(timeout=30)
    assert not list(survivors(everyone, 10)), "processes of Ray outlived their driver"

    run = start(config)
    wait_for(tmp_path, f"out/_staging/*/part-00000-{100 * (staged + 40):09}.json")
    everyone = process_tree(run.pid)
    assert kill([*workers(run.pid, "pipeline_lib.execution.cluster.orphans"), everyone[0]]) == 2
    run.communicate(timeout=30)
    assert list(survivors(everyone, 1)), "who ended them?"

    run = start(config)
    said, _ = run.communicate(timeout=200)
    assert run.returncode == 0, said
    assert "already scored" in said
    assert "PUBLISHED in=20,000 scored=20,000 rejected=0" in said
    assert verify(str(tmp_path / "out"))[1] == []
    assert not (tmp_path / "out" / "_lease.json").exists()
    assert not list(survivors(everyone, 90)), "Ray's agents give up after a minute by themselves"


@pytest.mark.slow
def test_a_run_that_is_killed_before_its_short_first_shard_is_ended_with_the_same_bytes(
    tmp_path: Path, checkpoint: Path, run_here: Runner
) -> None:
    config = job(tmp_path, checkpoint, 5_000, tmp_path / "out")
    write_parquet(tmp_path / "in" / "0.parquet", {"id": [1], "text": ["short"]})
    write_parquet(
        tmp_path / "in" / "1.parquet", {"id": pa.array([], pa.int64()), "text": pa.array([], pa.string())}
    )
    settings = load_settings(config)
    run_here(settings)
    undisturbed = published_hashes(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")

    run = start(config)
    wait_for(tmp_path, "out/_staging/*/part-*.json")
    everyone = process_tree(run.pid)
    kill(everyone)
    run.communicate(timeout=30)
    assert not list(survivors(everyone, 30))
    assert not list(tmp_path.glob("out/_staging/*/part-00000-*.json")), "the short shard was scored already"
    run_here(settings)
    assert published_hashes(tmp_path / "out") == undisturbed
