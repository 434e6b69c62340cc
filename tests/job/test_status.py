"""`status`: how nights went, from files alone."""

import datetime as dt
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import s3fs
from rich.console import Console

from pipeline_lib import pipeline
from pipeline_lib.errors import NightscoreError
from pipeline_lib.execution.local_executor import LocalExecutor
from pipeline_lib.machine.processes import identity
from pipeline_lib.nights.night import Night
from pipeline_lib.nights.status import nights_status
from pipeline_lib.nights.table import print_table
from pipeline_lib.reporting.terminal.progress import Progress
from pipeline_lib.settings.settings import Settings
from pipeline_lib.storage.lease import leased
from pipeline_lib.storage.urls import location_of
from tests.conftest import ROOT, SettingsMaker, write_parquet
from tests.helpers import tiny_checkpoints
from tests.helpers.command_line import error_line, nightscore
from tests.helpers.s3_proxy import S3Proxy
from tests.helpers.servers import s3_at
from tests.helpers.started_runs import wait_for

FIRST = dt.date(2026, 11, 22)
NOW = dt.datetime(2026, 11, 25, 3, tzinfo=dt.UTC)
RANGE = ("--from", "2026-11-22", "--to", "2026-11-22")


@pytest.fixture
def nightly(tmp_path: Path, settings_for: SettingsMaker) -> SettingsMaker:
    """Make settings with a place for the date in the paths of input and output."""

    def make(**sections: Mapping[str, Any]) -> Settings:
        paths = {"input": {"path": f"{tmp_path}/in/{{date}}"}, "output": {"path": f"{tmp_path}/out/ds={{date}}"}}
        return settings_for(
            **{name: {**paths.get(name, {}), **sections.get(name, {})} for name in paths | sections}
        )

    return make


def shard(tmp_path: Path, name: str = "a", texts: tuple[str | None, ...] = ("one", "two")) -> Path:
    """Write a shard of the night."""
    path = tmp_path / "in" / FIRST.isoformat() / f"{name}.parquet"
    return write_parquet(path, {"id": range(len(texts)), "text": pa.array(texts, pa.string())})


def run(settings: Settings, **options: Any) -> int:
    """Run the night; return the exit code."""
    try:
        pipeline.run(settings, FIRST, Progress(Console(quiet=True)), LocalExecutor(), **options)
    except NightscoreError as error:
        return error.exit_code
    return 0


def night(settings: Settings) -> Night:
    """Return what the night's state is."""
    (found,) = nights_status(settings, [FIRST], dt.datetime.now(dt.UTC))
    return found


def record_of(tmp_path: Path) -> Path:
    """Return the newest record of the night."""
    return max((tmp_path / "out" / f"ds={FIRST}" / "_runs").iterdir())


def change_record(tmp_path: Path, **fields: Any) -> None:
    """Overwrite fields of the newest record."""
    path = record_of(tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_a_published_night_shows_its_rows_its_model_and_when(tmp_path: Path, nightly: SettingsMaker) -> None:
    shard(tmp_path, texts=("one", "two", None))
    settings = nightly(limits={"max_reject_rate": 0.5})
    assert night(settings).state == "missing"
    assert run(settings) == 0
    found = night(settings)
    assert (found.state, found.reason, found.exit_code) == ("published", "", 0)
    assert (found.rows, found.scored, found.rejected) == (3, 2, 1)
    assert found.model == settings.model.name
    assert found.seconds
    assert found.version
    assert found.finished_at
    assert run(settings) == 0
    again = night(settings)
    assert (again.state, again.finished_at, again.seconds) == ("published", found.finished_at, found.seconds)
    assert again.attempt == 2


def test_a_night_without_input_is_told_from_one_that_never_ran(tmp_path: Path, nightly: SettingsMaker) -> None:
    settings = nightly()
    assert night(settings).state == "no_input"
    assert run(settings) == 5
    found = night(settings)
    assert (found.state, found.exit_code) == ("no_input", 5)
    shard(tmp_path)
    assert night(settings).state == "missing"


def test_a_night_that_a_gate_stops_is_held_until_it_is_accepted(tmp_path: Path, nightly: SettingsMaker) -> None:
    shard(tmp_path, texts=("one", None))
    assert run(nightly()) == 3
    found = night(nightly())
    assert (found.state, found.gate, found.exit_code) == ("held", "max_reject_rate", 3)
    assert (found.rows, found.scored, found.rejected) == (2, 1, 1)
    assert "1 of 2 rows were rejected" in found.reason
    assert run(nightly(), accept="the shop was closed") == 0
    found = night(nightly())
    assert (found.state, found.accepted) == ("published", "the shop was closed")
    assert found.reason == "accepted: the shop was closed"


def test_a_night_with_a_broken_shard_failed(tmp_path: Path, nightly: SettingsMaker) -> None:
    path = shard(tmp_path)
    path.write_bytes(path.read_bytes()[:-9])
    assert run(nightly()) == 2
    found = night(nightly())
    assert (found.state, found.exit_code) == ("failed", 2)
    assert "a.parquet" in found.reason


def test_what_makes_a_published_night_stale_is_named(tmp_path: Path, nightly: SettingsMaker) -> None:
    shard(tmp_path)
    assert run(nightly()) == 0
    found = night(nightly(output={"logits": True}, model={"precision": "bfloat16"}))
    assert found.state == "stale"
    assert found.reason == "model.precision 'float32', now 'bfloat16'; output.logits False, now True"
    assert run(nightly(output={"scores": "all"}, limits={"min_rows": 9}), replace=True) == 3
    assert night(nightly(output={"scores": "all"})).state == "held"
    assert night(nightly()).state == "published"
    shard(tmp_path, "b")
    found = night(nightly())
    assert (found.state, found.reason) == ("stale", "late shards: 1 shard, now 2")
    assert run(nightly()) == 0
    assert (night(nightly()).state, night(nightly()).rows) == ("published", 4)
    shard(tmp_path, "b", ("three", "four"))
    assert night(nightly()).reason == "changed shards"
    (tmp_path / "in" / FIRST.isoformat() / "b.parquet").unlink()
    assert night(nightly()).reason == "shards are gone: 2 shards, now 1"
    assert run(nightly()) == 2
    found = night(nightly())
    assert found.state == "stale"
    assert "the last run failed: the output holds rows of" in found.reason
    (tmp_path / "in" / FIRST.isoformat() / "a.parquet").unlink()
    assert night(nightly()).state == "published", "raw data is deleted after a while"


def test_a_copy_of_the_input_is_stale_until_a_run_has_compared_it(tmp_path: Path, nightly: SettingsMaker) -> None:
    path = shard(tmp_path)
    assert run(nightly()) == 0
    os.utime(path, (1, 1))
    assert night(nightly()).reason == "changed shards"
    assert run(nightly()) == 0
    assert night(nightly()).state == "published"


def test_another_model_makes_a_night_stale_and_a_copy_of_the_same_one_does_not(
    tmp_path: Path, checkpoint: Path, nightly: SettingsMaker
) -> None:
    shard(tmp_path)
    shutil.copytree(checkpoint, tmp_path / "model")
    assert run(nightly(model={"name": str(tmp_path / "model")})) == 0
    shutil.copytree(checkpoint, tmp_path / "copy", copy_function=shutil.copyfile)
    assert night(nightly(model={"name": str(tmp_path / "copy")})).state == "published"
    other = tiny_checkpoints.build(tiny_checkpoints.Recipe("gpt2"), tmp_path / "other")
    found = night(nightly(model={"name": str(other)}))
    assert (found.state, found.reason) == ("stale", f"other model than '{tmp_path}/model'")
    notes: list[str] = []
    elsewhere = nightly(model={"name": "/models/that/are/on/the/cluster"})
    (found,) = nights_status(elsewhere, [FIRST], NOW, notes.append)
    assert found.state == "published"
    assert "the model is not compared" in notes[0]


def test_a_night_whose_mark_is_gone_or_whose_record_is_gone_is_what_its_files_say(
    tmp_path: Path, nightly: SettingsMaker
) -> None:
    shard(tmp_path)
    assert run(nightly()) == 0
    version = night(nightly()).version
    record = record_of(tmp_path)
    told = record.read_bytes()
    old = {name: value for name, value in json.loads(told).items() if name not in {"published", "made_from"}}
    record.write_text(json.dumps(old))  # as an earlier release wrote it
    assert (night(nightly()).state, night(nightly()).version) == ("published", version)
    record.write_bytes(b"no record")
    assert (night(nightly()).state, night(nightly()).version) == ("published", version)
    record.unlink()
    assert (night(nightly()).state, night(nightly()).version) == ("published", version)
    record.write_bytes(told)
    (tmp_path / "out" / f"ds={FIRST}" / "_SUCCESS").unlink()
    assert (night(nightly()).state, night(nightly()).reason) == (
        "missing",
        "it was published, but _SUCCESS is gone",
    )


def test_a_run_that_found_another_one_at_work_does_not_hide_that_one(
    tmp_path: Path, nightly: SettingsMaker
) -> None:
    shard(tmp_path, texts=("one", None))
    assert run(nightly()) == 3
    with leased(f"{tmp_path}/out/ds={FIRST}"):
        assert run(nightly(limits={"max_reject_rate": 1.0})) == 4
    assert night(nightly()).state == "held"


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


def started(tmp_path: Path, settings: Settings) -> subprocess.Popen[str]:
    """Start a long run of the night and wait until it scores."""
    shard(tmp_path, texts=tuple(f"text {row}" for row in range(100_000)))
    (tmp_path / "job.yaml").write_text(settings.model_dump_json())
    process = subprocess.Popen(
        [sys.executable, "-m", "jobs.score", "run", str(tmp_path / "job.yaml"), "--date", str(FIRST), "--local"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    wait_for(tmp_path, f"out/ds={FIRST}/_staging/*/part-*.json")
    return process


@pytest.mark.slow
@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_that_is_killed_or_stopped_is_interrupted(
    by: signal.Signals, tmp_path: Path, nightly: SettingsMaker
) -> None:
    settings = nightly(tuning={"rows_per_slice": 100})
    process = started(tmp_path, settings)
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


TEMPLATES = [
    ("in/{date}", "out/ds={date}"),
    ("in/{date}/*.csv", "out/{date}/scores/"),
    ("in/{date}.csv", "out/{date}/{date}-scored"),
    ("in/ds={date}/", "{date}"),
    (["in/{date}", "more/{date}/x.csv"], "out-{date}"),
    ("same/*.csv", "of/{date}"),
]
DATES = [dt.date(2026, 10, 31), dt.date(2026, 11, 1), dt.date(2026, 11, 2)]


@pytest.fixture(scope="module")
def bucket(s3_server: str) -> s3fs.S3FileSystem:
    """A bucket on the server."""
    del s3_server
    store = s3fs.S3FileSystem()
    store.mkdir("nights")
    return store


@pytest.fixture(params=["disk", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where inputs and outputs are."""
    if request.param == "disk":
        yield str(tmp_path)
    else:
        store = request.getfixturevalue("bucket")
        yield "s3://nights/some"
        store.invalidate_cache()
        store.rm("nights/some", recursive=True)


def write_csv(root: str, path: str) -> None:
    """Write a shard of one row."""
    name = f"{root}/{path if path.endswith('.csv') else path.rstrip('/') + '/a.csv'}".replace("*", "a")
    location_of(name).write(b"text\nhello\n")


@pytest.mark.parametrize(("source", "target"), TEMPLATES)
def test_the_date_may_be_anywhere_in_the_paths(
    source: str | list[str], target: str, root: str, settings_for: SettingsMaker
) -> None:
    sources = [source] if isinstance(source, str) else source
    settings = settings_for(
        input={"path": [f"{root}/{path}" for path in sources]}, output={"path": f"{root}/{target}"}
    )
    for date in DATES[:2]:
        for path in sources:
            write_csv(root, path.replace("{date}", str(date)))
    pipeline.run(settings, DATES[0], Progress(Console(quiet=True)), LocalExecutor())
    states = [found.state for found in nights_status(settings, DATES, NOW)]
    assert states == ["published", "missing", "missing" if source == "same/*.csv" else "no_input"]


def test_on_s3_many_nights_cost_two_listings_and_a_small_read_each(
    bucket: s3fs.S3FileSystem, s3_server: str, settings_for: SettingsMaker
) -> None:
    dates = [dt.date(2026, 10, 20) + dt.timedelta(days=day) for day in range(30)]
    settings = settings_for(
        input={"path": "s3://nights/reviews/ds={date}/*.csv"}, output={"path": "s3://nights/scores/ds={date}"}
    )
    for date in dates[:25]:
        bucket.pipe_file(f"nights/reviews/ds={date}/a.csv", b"text\nhello\n")
    for date in (dates[0], dates[-8], dates[-7]):
        pipeline.run(settings, date, Progress(Console(quiet=True)), LocalExecutor())
    with S3Proxy(s3_server) as proxy, s3_at(proxy.endpoint):
        found = nights_status(settings, dates, NOW)
    assert [each.state for each in found] == [
        *["published"],
        *["missing"] * 21,
        *["published"] * 2,
        *["missing"],
        *["no_input"] * 5,
    ]
    assert proxy.count("GET") == len(proxy.seen) == 2 + 3
    assert proxy.count("list-type=2") == 2
    assert sum(request.answered for request in proxy.seen) < 40_000


def test_status_imports_neither_ray_nor_what_computes_a_score(tmp_path: Path, nightly: SettingsMaker) -> None:
    shard(tmp_path)
    assert run(nightly()) == 0
    (tmp_path / "job.yaml").write_text(nightly().model_dump_json())
    program = (
        "import sys; from jobs.score import app; app(standalone_mode=False); "
        "print(sorted({'ray', 'torch', 'transformers', 'openvino'} & set(sys.modules)))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, "status", str(tmp_path / "job.yaml"), *RANGE, "--check"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.splitlines()[-2:] == ["1 night: 1 published", "[]"]


def test_the_table_is_plain_in_a_pipe_and_an_object_a_night_in_json(tmp_path: Path, nightly: SettingsMaker) -> None:
    shard(tmp_path)
    assert run(nightly()) == 0
    config = str(tmp_path / "job.yaml")
    Path(config).write_text(nightly().model_dump_json())
    ended = nightscore("status", config, "--from", "2026-11-22", "--to", "2026-11-23", columns=20)
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[0].split("  ")[0] == "night"
    assert lines[1].startswith("2026-11-22  published     2         0  bert")
    assert lines[2] == "2026-11-23  no_input"
    assert lines[3:] == ["2 nights: 1 published, 1 no_input"]
    ended = nightscore("status", config, *RANGE, "--json")
    (told,) = json.loads(ended.stdout)
    assert told["date"] == "2026-11-22"
    wanted = {"state", "rows", "scored", "rejected", "exit_code", "reason", "version", "finished_at"}
    assert wanted <= told.keys()
    assert (told["state"], told["rows"], told["exit_code"]) == ("published", 2, 0)


@pytest.mark.parametrize("width", [20, 60, 200])
def test_on_a_terminal_no_line_is_wider_and_no_text_controls_it(
    width: int, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    print_table([Night(FIRST, "held", "too many \x1b[31mrejects", rows=1_234, gate="max_reject_rate")], sys.stdout)
    said = capfd.readouterr().out
    assert "\x1b[31m" not in said
    assert all(len(line) <= width for line in said.splitlines())
    if width > 20:
        assert all(word in said for word in ("2026-11-22", "held", "1,234", "max_reject_rate", r"\x1b"))
    assert ("rejected" in said) == (width == 200)


def test_check_fails_unless_every_night_is_published(tmp_path: Path, nightly: SettingsMaker) -> None:
    shard(tmp_path)
    assert run(nightly()) == 0
    config = str(tmp_path / "job.yaml")
    Path(config).write_text(nightly().model_dump_json())
    assert nightscore("status", config, *RANGE, "--check").returncode == 0
    assert nightscore("status", config, *RANGE, "--check", "--set", "output.logits=true").returncode == 3
    ended = nightscore("status", config, "--last", "3", "--check")
    assert ended.returncode == 3
    assert ended.stdout.splitlines()[-1].startswith("3 nights: ")
    assert len(nightscore("status", config).stdout.splitlines()) == 1 + 14 + 1


def test_an_output_without_dates_is_one_line_and_has_no_nights_to_choose(
    tmp_path: Path, settings_for: SettingsMaker
) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"text": ["a"]})
    config = str(tmp_path / "job.yaml")
    Path(config).write_text(settings_for().model_dump_json())
    assert nightscore("status", config).stdout.splitlines()[1:] == ["-      missing", "1 night: 1 missing"]
    assert nightscore("run", config, "--local").returncode == 0
    assert nightscore("status", config, "--check").returncode == 0
    line = error_line(nightscore("status", config, "--last", "3"))
    assert f"output.path: '{tmp_path}/out' has no {{date}} in it, so it has no nights to choose from" in line


@pytest.mark.parametrize(
    "options",
    [
        ["--last", "0"],
        ["--from", "2026-11-22"],
        ["--from", "2026-13-22", "--to", "2026-11-22"],
        ["--from", "2026-11-23", "--to", "2026-11-22"],
        ["--last", "1", "--timezone", "Mars/Base"],
    ],
)
def test_wrong_options_are_one_line(options: list[str], tmp_path: Path, nightly: SettingsMaker) -> None:
    (tmp_path / "job.yaml").write_text(nightly().model_dump_json())
    error_line(nightscore("status", str(tmp_path / "job.yaml"), *options))


def test_an_output_bucket_that_does_not_exist_is_one_line(
    bucket: s3fs.S3FileSystem, tmp_path: Path, settings_for: SettingsMaker
) -> None:
    del bucket
    settings = settings_for(output={"path": "s3://nobodys-bucket/{date}"})
    (tmp_path / "job.yaml").write_text(settings.model_dump_json())
    assert "nobodys-bucket" in error_line(nightscore("status", str(tmp_path / "job.yaml")))
