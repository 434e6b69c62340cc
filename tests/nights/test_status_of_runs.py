"""`status` of nights whose run is at work, was killed or was stopped."""

import datetime as dt
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline_lib.machine.processes import identity
from pipeline_lib.settings.settings import Settings
from tests.conftest import ROOT, SettingsMaker
from tests.helpers.started_runs import wait_for
from tests.helpers.watching.one_night import FIRST, change_record, night, record_of, run, shard


def running_record(tmp_path: Path, nightly: SettingsMaker, **fields: Any) -> None:
    """Make the newest record one without an end."""
    shard(tmp_path)
    assert run(nightly(limits={"min_rows": 9})) == 3
    change_record(tmp_path, status="RUNNING", exit_code=None, finished_at=None, gate=None, error=None, **fields)


def test_a_record_without_end_is_a_run_at_work_for_as_long_as_its_process_lives(
    tmp_path: Path, nightly: SettingsMaker
) -> None:
    with subprocess.Popen(["sleep", "600"]) as process:
        running_record(
            tmp_path,
            nightly,
            pid=process.pid,
            process=identity(process.pid),
            phase="scoring",
            rows=8,
            rows_this_run=2,
            host="here",
            started_at="2026-11-22T01:02:03+00:00",
        )
        found = night(nightly())
        assert (found.state, found.exit_code) == ("running", None)
        assert found.reason == "since 2026-11-22 01:02:03 UTC on here: scoring; 2 of 8 rows (25%)"
        process.kill()
    found = night(nightly())
    assert found.state == "interrupted"
    assert found.reason == "its record has no end; it was scoring; 2 of 8 rows (25%)"


def test_a_run_of_another_machine_is_at_work_if_its_record_is_new(tmp_path: Path, nightly: SettingsMaker) -> None:
    running_record(tmp_path, nightly, process="another-boot/1-1")
    change_record(tmp_path, updated_at=dt.datetime.now(dt.UTC).isoformat())
    assert night(nightly()).state == "running"
    change_record(tmp_path, updated_at="2026-01-01T00:00:00+00:00")
    assert night(nightly()).state == "interrupted"
    change_record(tmp_path, updated_at="nonsense")
    assert night(nightly()).state == "interrupted"


@pytest.mark.slow
@pytest.mark.parametrize("beats", [False, True])
def test_a_run_of_a_machine_with_another_clock_is_at_work_if_its_record_is_written_again(
    beats: bool, tmp_path: Path, nightly: SettingsMaker
) -> None:
    an_hour_ago = (dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)).isoformat()
    running_record(tmp_path, nightly, process="another-boot/1-1", updated_at=an_hour_ago)

    def beat() -> None:
        time.sleep(5)
        change_record(tmp_path, beat=77)

    thread = threading.Thread(target=beat)
    if beats:
        thread.start()
    assert night(nightly()).state == ("running" if beats else "interrupted")
    if beats:
        thread.join()


def started(tmp_path: Path, settings: Settings, rows: int = 100_000) -> subprocess.Popen[str]:
    """Start a run of the night."""
    shard(tmp_path, texts=tuple(f"text {row}" for row in range(rows)))
    (tmp_path / "job.yaml").write_text(settings.model_dump_json())
    return subprocess.Popen(
        [sys.executable, "-m", "jobs.score", "run", str(tmp_path / "job.yaml"), "--date", str(FIRST), "--local"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_that_is_killed_or_stopped_is_interrupted(
    by: signal.Signals, tmp_path: Path, nightly: SettingsMaker
) -> None:
    settings = nightly(tuning={"rows_per_slice": 100})
    process = started(tmp_path, settings)
    wait_for(tmp_path, f"out/ds={FIRST}/_staging/*/part-*.json")
    while not json.loads(record_of(tmp_path).read_text())["version"]:
        time.sleep(0.1)
    found = night(settings)
    assert found.state == "running", found
    assert found.rows == 100_000
    assert "of 100,000 rows" in found.reason
    process.send_signal(by)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == (-9 if by == signal.SIGKILL else 1), said
    found = night(settings)
    assert (found.state, found.exit_code) == ("interrupted", None if by == signal.SIGKILL else 1)
    assert ("its record has no end" if by == signal.SIGKILL else "stopped by SIGTERM") in found.reason
    assert "of 100,000 rows" in found.reason


@pytest.mark.slow
def test_a_run_that_is_recorded_as_published_stays_so_when_it_is_stopped_at_that_moment(
    tmp_path: Path, nightly: SettingsMaker
) -> None:
    process = started(tmp_path, nightly(), rows=2_000)
    published = tmp_path / "out" / f"ds={FIRST}"
    wait_for(tmp_path, f"out/ds={FIRST}/_runs/*.json")
    while '"PUBLISHED"' not in record_of(tmp_path).read_text():
        assert process.poll() is None
        time.sleep(0.001)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert json.loads(record_of(tmp_path).read_text())["status"] == "PUBLISHED", said
    assert (published / "_metrics.json").exists(), "later nights are compared with them"
    assert night(nightly()).state == "published"
