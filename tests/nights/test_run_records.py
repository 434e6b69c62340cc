"""The record that a run leaves beside its output, however it ends."""

import contextlib
import datetime as dt
import json
import os
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

import pytest
import s3fs
from rich.console import Console

from pipeline_lib import pipeline
from pipeline_lib.errors import BusyError, GateError, NightscoreError, OutputError
from pipeline_lib.execution.executor import Listener, Result
from pipeline_lib.execution.local_executor import LocalExecutor
from pipeline_lib.planning.discovery import Discovery
from pipeline_lib.planning.plan import Plan
from pipeline_lib.reporting.records.run_record import RunRecord, new_record_name, record_names
from pipeline_lib.reporting.terminal.progress import Progress
from pipeline_lib.storage.lease import leased
from tests.conftest import Runner, SettingsMaker, write_parquet
from tests.helpers.command_line import nightscore
from tests.helpers.stores.s3_proxy import S3Proxy
from tests.helpers.stores.servers import s3_at
from tests.helpers.watching.run_records import everything, only_record, records

DATE = dt.date(2026, 11, 22)


def test_a_run_that_publishes_records_who_ran_what_and_what_readers_see(
    tmp_path: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"id": range(3), "text": ["a", "b", None]})
    settings = settings_for(limits={"max_reject_rate": 0.5})
    outcome = run_here(settings)
    record = only_record(tmp_path / "out")
    assert (record.status, record.exit_code, record.error, record.gate) == ("PUBLISHED", 0, None, None)
    assert (record.rows, record.scored, record.rejected, record.version) == (3, 2, 1, outcome.version)
    assert (record.host, record.pid, record.attempt) == (os.uname().nodename, os.getpid(), 1)
    assert record.process
    assert record.started_at
    assert record.finished_at
    published = record.published
    assert published
    assert (published.version, published.rows, published.rejected) == (outcome.version, 3, 1)
    assert published.made_from == record.made_from
    assert record.made_from.shards == 1
    assert record.made_from.input_stamp
    assert record.made_from.settings
    assert record.made_from.settings["model.precision"] == "float32"
    assert run_here(settings).status == "COMPLETE"
    again = records(tmp_path / "out")[0]
    assert (again.status, again.exit_code, again.attempt) == ("COMPLETE", 0, 2)
    assert again.published == published


def test_wrong_input_leaves_a_record_with_exit_code_2(tmp_path: Path, settings_for: SettingsMaker) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"id": [1], "words": ["a"]})
    (tmp_path / "job.yaml").write_text(settings_for().model_dump_json())
    ended = nightscore("run", str(tmp_path / "job.yaml"), "--local")
    assert ended.returncode == 2
    record = only_record(tmp_path / "out")
    assert (record.status, record.exit_code, record.version) == ("FAILED", 2, "")
    assert record.error
    assert "'text'" in record.error
    assert record.error in ended.stderr
    assert record.phase == "listing the input and reading its columns"


@pytest.mark.parametrize("model", ["/no/such/folder", "nobody/no-such-model"])
def test_a_wrong_checkpoint_leaves_a_record_with_exit_code_2(
    model: str, tmp_path: Path, settings_for: SettingsMaker
) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"text": ["a"]})
    (tmp_path / "job.yaml").write_text(settings_for(model={"name": model}).model_dump_json())
    assert nightscore("run", str(tmp_path / "job.yaml"), "--local").returncode == 2
    record = only_record(tmp_path / "out")
    assert (record.status, record.exit_code) == ("FAILED", 2)
    assert model in (record.error or "")


def test_input_that_is_not_there_yet_leaves_a_record_with_exit_code_5(
    tmp_path: Path, settings_for: SettingsMaker
) -> None:
    settings = settings_for(input={"path": f"{tmp_path}/in/{{date}}"}, output={"path": f"{tmp_path}/out/{{date}}"})
    (tmp_path / "job.yaml").write_text(settings.model_dump_json())
    assert nightscore("run", str(tmp_path / "job.yaml"), "--local", "--date", "2026-11-22").returncode == 5
    record = only_record(tmp_path / "out" / "2026-11-22")
    assert (record.status, record.exit_code, record.date) == ("FAILED", 5, "2026-11-22")


def test_a_gate_is_named_in_the_record(tmp_path: Path, settings_for: SettingsMaker, run_here: Runner) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"text": ["a", None]})
    with pytest.raises(GateError):
        run_here(settings_for())
    record = only_record(tmp_path / "out")
    assert (record.status, record.exit_code, record.gate) == ("FAILED", 3, "max_reject_rate")
    assert (record.rows, record.scored, record.rejected, record.staged_slices) == (2, 1, 1, 1)
    assert record.published is None


def test_a_run_that_finds_another_one_at_work_records_that_and_counts_nothing(
    tmp_path: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"text": ["a", "b"]})
    (tmp_path / "out").mkdir()
    with leased(str(tmp_path / "out")), pytest.raises(BusyError):
        run_here(settings_for())
    record = only_record(tmp_path / "out")
    assert (record.status, record.exit_code, record.staged_slices) == ("FAILED", 4, 0)


class BrokenExecutor(LocalExecutor):
    """Has a bug."""

    @contextlib.contextmanager
    def planned(
        self, discoveries: Sequence[Discovery], listener: Listener
    ) -> Iterator[list[Plan | NightscoreError]]:
        """Fail as only a bug does, with a text in the message."""
        del discoveries, listener
        raise ValueError("a secret text")
        yield


def test_a_bug_leaves_a_record_that_quotes_no_text(tmp_path: Path, settings_for: SettingsMaker) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"text": ["a"]})
    with pytest.raises(ValueError, match="a secret text"):
        pipeline.run(settings_for(), None, Progress(Console(quiet=True)), BrokenExecutor())
    record = only_record(tmp_path / "out")
    assert (record.status, record.exit_code) == ("FAILED", 1)
    assert "ValueError" in (record.error or "")
    assert b"secret text" not in b"".join(everything(tmp_path / "out").values())


class WatchedExecutor(LocalExecutor):
    """Looks at the record while the run works."""

    seen: RunRecord | None = None

    def results(self, plans: Sequence[Plan], listener: Listener) -> Generator[tuple[int, Result], None, None]:
        """Score, and wait until the record tells the version."""
        (plan,) = plans
        yield from super().results(plans, listener)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not (self.seen and self.seen.version):
            self.seen = only_record(Path(plan.settings.output.path))
            time.sleep(0.1)


def test_while_a_run_works_its_record_says_so(tmp_path: Path, settings_for: SettingsMaker) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"text": ["a", "b"]})
    executor = WatchedExecutor()
    pipeline.run(settings_for(), None, Progress(Console(quiet=True)), executor)
    seen = executor.seen
    assert seen
    assert (seen.status, seen.exit_code, seen.finished_at, seen.rows) == ("RUNNING", None, None, 2)
    assert only_record(tmp_path / "out").status == "PUBLISHED"


def test_nothing_is_written_where_the_job_may_not_write(
    tmp_path: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"text": ["a"]})
    write_parquet(tmp_path / "theirs" / "b.parquet", {"text": ["b"]})
    before = everything(tmp_path)
    for output in ("in/out", "theirs"):
        with pytest.raises(NightscoreError) as told:
            run_here(settings_for(output={"path": str(tmp_path / output)}))
        assert told.value.exit_code == 2
        assert isinstance(told.value, OutputError) == (output == "theirs")
    assert everything(tmp_path) == before


@pytest.mark.parametrize("command", ["plan", "verify", "status"])
def test_commands_that_only_look_write_nothing(
    command: str, tmp_path: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"text": ["a"]})
    (tmp_path / "job.yaml").write_text(settings_for().model_dump_json())
    run_here(settings_for())
    before = everything(tmp_path)
    assert nightscore(command, str(tmp_path / "job.yaml")).returncode == 0
    assert everything(tmp_path) == before


def test_the_newest_fifty_records_are_kept_and_those_of_earlier_releases_can_be_read(
    tmp_path: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"text": ["a"]})
    old = {"status": "FAILED", "error": "x", "exit_code": 1, "peak_bytes": {}, "busy": {}, "labels": None}
    (tmp_path / "out" / "_runs").mkdir(parents=True)
    for day in range(1, 29):
        for hour in (1, 2):
            name = f"202602{day:02}T{hour:02}0203Z-0a1b2c3d.json"
            (tmp_path / "out" / "_runs" / name).write_text(json.dumps(old))
    (tmp_path / "out" / "_runs" / "note.txt").write_text("theirs")
    run_here(settings_for())
    (tmp_path / "out" / "_runs" / "note.txt").unlink()
    kept = records(tmp_path / "out")
    assert [record.status for record in kept] == ["PUBLISHED"] + ["FAILED"] * 49
    assert kept[0].attempt == 57


def test_a_new_record_sorts_after_all_others_whatever_the_clocks_say() -> None:
    now = dt.datetime(2026, 11, 22, 3, 4, 5, 6, tzinfo=dt.UTC)
    for newest in (
        None,
        "20261122T030405Z-0a1b2c3d.json",
        "20261122T030405.000006Z-ffffffff.json",
        "20270101T000000.999999Z-ffffffff.json",
    ):
        name = new_record_name(now, newest)
        assert record_names([f"_runs/{name}", f"_runs/{newest}"])[0] == name
    for senseless in ("99991231T235959.999999Z-ffffffff.json", "20261399T999999Z-ffffffff.json", "x.json"):
        assert new_record_name(now, senseless).startswith("20261122T030405.000006Z-")


def test_a_storage_that_refuses_the_record_does_not_hide_why_the_run_failed(
    s3_server: str, settings_for: SettingsMaker, run_here: Runner
) -> None:
    store = s3fs.S3FileSystem()
    store.mkdir("refusing")
    store.pipe_file("refusing/in/a.csv", b"text\nhello\n")
    settings = settings_for(
        input={"path": "s3://refusing/in"}, output={"path": "s3://refusing/out"}, limits={"min_rows": 9}
    )

    def refuse(method: str, path: str) -> tuple[int, str] | None:
        return (403, "AccessDenied") if method == "PUT" and "/_runs/" in path else None

    with S3Proxy(s3_server, answer=refuse) as proxy, s3_at(proxy.endpoint):
        with pytest.raises(GateError, match=r"limits\.min_rows is 9"):
            run_here(settings)
        assert proxy.count("PUT") >= 2
    assert not store.exists("refusing/out/_runs")


def test_a_run_that_fails_after_it_has_published_records_what_readers_see(
    tmp_path: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"text": ["a", "b"]})
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "_metrics.json").mkdir()  # what is written last can't be written
    with pytest.raises(NightscoreError, match="recording the run failed"):
        run_here(settings_for())
    record = only_record(tmp_path / "out")
    assert record.status == "FAILED"
    assert record.published
    assert record.published.rows == 2
    assert record.published.made_from.input_stamp
