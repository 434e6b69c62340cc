"""Faults of the world: a full disk, a read-only one, a scheduler that stops the run, shards that change."""

import ctypes
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from pipeline_lib.errors import BusyError, FaultError, GateError, InputError
from pipeline_lib.publishing.verifier import verify
from pipeline_lib.settings.settings_file import load_settings
from pipeline_lib.storage.lease import leased
from tests.conftest import ROOT, Runner, SettingsMaker, read_output, write_parquet
from tests.helpers.killing import family, gone_within, kill, tree, workers


def job(tmp_path: Path, checkpoint: Path, rows: int, out: Path) -> Path:
    """Write shards and a settings file."""
    write_parquet(
        tmp_path / "in" / "a.parquet", {"id": range(rows), "text": [f"text {row}" for row in range(rows)]}
    )
    settings = {
        "model": {"name": str(checkpoint)},
        "input": {"path": str(tmp_path / "in")},
        "output": {"path": str(out)},
        "tuning": {"model_actors": 1, "rows_per_slice": 100},
    }
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(settings))
    return tmp_path / "job.yaml"


def start(config: Path) -> subprocess.Popen[str]:
    """Start a run as a scheduler does."""
    return subprocess.Popen(
        [sys.executable, "-m", "jobs.score", "run", str(config)],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def wait_for(condition: Path, pattern: str, seconds: float = 120) -> None:
    """Wait until a file is there."""
    deadline = time.monotonic() + seconds
    while not list(condition.glob(pattern)):
        assert time.monotonic() < deadline, f"no {pattern} in {condition}"
        time.sleep(0.02)


@pytest.mark.parametrize("seconds", [1, 2, 3, 5])
def test_sigterm_while_ray_starts_is_told_in_one_line(seconds: int, tmp_path: Path, checkpoint: Path) -> None:
    run = start(job(tmp_path, checkpoint, 2_000, tmp_path / "out"))
    time.sleep(seconds)
    everyone = family(run.pid)
    run.send_signal(signal.SIGTERM)
    said, _ = run.communicate(timeout=30)
    assert run.returncode == 1, said
    error, closing = said.splitlines()[-2:]
    assert error.startswith("error: stopped by SIGTERM; run the same command again")
    assert closing.startswith("STOPPED ")
    assert "Traceback" not in said
    assert not list(gone_within(everyone, 10))


@pytest.mark.timeout(400)
def test_sigterm_ends_a_run_within_seconds_a_kill_leaves_nothing_behind_and_the_next_run_goes_on(
    tmp_path: Path, checkpoint: Path
) -> None:
    config = job(tmp_path, checkpoint, 20_000, tmp_path / "out")
    run = start(config)
    wait_for(tmp_path, "out/_staging/*/part-*.json")
    everyone = family(run.pid)
    run.send_signal(signal.SIGTERM)
    said, _ = run.communicate(timeout=30)
    assert run.returncode == 1, said
    error, closing = said.splitlines()[-2:]
    assert error == "error: stopped by SIGTERM; run the same command again to go on where it stopped"
    assert "Traceback" not in said
    assert not list(gone_within(everyone, 10))
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
    everyone = family(run.pid)
    assert kill(everyone[:1]) == 1
    run.communicate(timeout=30)
    assert not list(gone_within(everyone, 10)), "processes of Ray outlived their driver"

    run = start(config)
    wait_for(tmp_path, f"out/_staging/*/part-00000-{100 * (staged + 40):09}.json")
    everyone = family(run.pid)
    assert kill([*workers(run.pid, "pipeline_lib.execution.cluster.orphans"), everyone[0]]) == 2
    run.communicate(timeout=30)
    assert list(gone_within(everyone, 1)), "who ended them?"

    run = start(config)
    said, _ = run.communicate(timeout=200)
    assert run.returncode == 0, said
    assert "already scored" in said
    assert "PUBLISHED in=20,000 scored=20,000 rejected=0" in said
    assert verify(str(tmp_path / "out"))[1] == []
    assert not (tmp_path / "out" / "_lease.json").exists()
    assert not list(gone_within(everyone, 90)), "Ray's agents give up after a minute by themselves"


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
    undisturbed = tree(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")

    run = start(config)
    wait_for(tmp_path, "out/_staging/*/part-*.json")
    everyone = family(run.pid)
    kill(everyone)
    run.communicate(timeout=30)
    assert not list(gone_within(everyone, 30))
    assert not list(tmp_path.glob("out/_staging/*/part-00000-*.json")), "the short shard was scored already"
    run_here(settings)
    assert tree(tmp_path / "out") == undisturbed


def test_an_endpoint_without_a_scheme_is_told_in_one_line(tmp_path: Path, checkpoint: Path) -> None:
    config = job(tmp_path, checkpoint, 1, tmp_path / "out")
    given = {"AWS_ENDPOINT_URL": "localhost:9000", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    for command in ("plan", "verify"):
        ended = subprocess.run(
            [
                *(sys.executable, "-m", "jobs.score", command, str(config)),
                *("--set", "input.path=s3://bucket/in", "--set", "output.path=s3://bucket/out"),
            ],
            cwd=ROOT,
            env={**os.environ, **given},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (ended.returncode, ended.stdout) == (2, "")
        (line,) = ended.stderr.splitlines()
        assert "Invalid endpoint: localhost:9000; an endpoint is a URL such as http://host:9000" in line


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 200 KiB; needs the right to mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", str(disk).encode(), b"tmpfs", 0, b"size=200k"):
        pytest.skip(f"can't mount a disk: {os.strerror(ctypes.get_errno())}")
    yield disk
    libc.umount2(str(disk).encode(), 2)


def test_a_full_disk_is_a_fault_and_when_there_is_room_the_same_run_completes(
    small_disk: Path, tmp_path: Path, settings_for: SettingsMaker, run_job: Runner
) -> None:
    rows = 4_000
    write_parquet(
        tmp_path / "in" / "a.parquet",
        {"id": [os.urandom(40).hex() for _ in range(rows)], "text": [f"text {row}" for row in range(rows)]},
    )
    settings = settings_for(output={"path": str(small_disk / "out")}, tuning={"rows_per_slice": 250})
    with pytest.raises(FaultError, match="No space left on device"):
        run_job(settings)
    assert not list(small_disk.rglob("*.tmp"))
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    outcome = run_job(settings)
    assert outcome.scored == rows
    assert 0 < outcome.rows_this_run < rows
    assert verify(str(small_disk / "out"))[1] == []


def test_a_disk_that_may_not_be_written_is_the_users_to_mend(
    small_disk: Path, tmp_path: Path, settings_for: SettingsMaker, run_job: Runner
) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"text": ["a"]})
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(InputError, match=r"Read-only file system"):
        run_job(settings_for(output={"path": str(small_disk / "out")}))


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
    before = tree(tmp_path / "out")
    os.utime(shard, (1, 1))  # also a clock that went backwards
    assert run_here(settings_for()).status == "COMPLETE"
    assert tree(tmp_path / "out") == before

    size = shard.stat().st_size
    write_parquet(shard, {"id": [1, 2], "text": ["x", "z"]})
    assert shard.stat().st_size == size
    os.utime(shard, (1, 1))
    outcome = run_here(settings_for())
    assert (outcome.status, outcome.rows_this_run) == ("PUBLISHED", 2)
    assert verify(str(tmp_path / "out"))[1] == []


def test_an_empty_night_is_no_success_unless_it_is_allowed(
    tmp_path: Path, settings_for: SettingsMaker, run_job: Runner
) -> None:
    write_parquet(
        tmp_path / "in" / "a.parquet",
        {"text": pq.read_table(write_parquet(tmp_path / "x.parquet", {"text": ["a"]})).slice(1).column("text")},
    )
    with pytest.raises(GateError, match=r"the input has 0 rows, limits.min_rows is 1; nothing is published"):
        run_job(settings_for())
    assert run_job(settings_for(limits={"min_rows": 0})).status == "PUBLISHED"


def test_files_of_strangers_are_set_aside_and_the_published_ones_stay(
    tmp_path: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"text": ["a", "b"]})
    run_here(settings_for())
    out = tmp_path / "out"
    before = tree(out)
    write_parquet(out / "part-00007-000000000.parquet", {"label": ["not ours"]})
    (out / "notes.txt").write_text("mine")
    assert verify(str(out))[1] == [
        "notes.txt: is not in _manifest.json",
        "part-00007-000000000.parquet: is not in _manifest.json",
    ]
    assert run_here(settings_for()).rows_this_run == 0
    assert tree(out) == before
    assert {path.name for path in (out / "_aside").iterdir()} == {
        "notes.txt.0",
        "part-00007-000000000.parquet.0",
    }


def test_what_a_dead_run_left_half_written_is_cleaned(
    tmp_path: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"text": ["a", "b"]})
    run_here(settings_for())
    before = tree(tmp_path / "out")
    left = tmp_path / "out" / f".part-00000-000000000.parquet.{'0' * 32}.tmp"
    left.write_bytes(b"half")
    write_parquet(tmp_path / "in" / "b.parquet", {"text": ["c"]})
    run_here(settings_for())
    assert not left.exists()
    assert {
        name: content for name, content in tree(tmp_path / "out").items() if name in before
    }.keys() == before.keys()


def test_a_run_that_finds_another_at_work_leaves_it_alone(
    tmp_path: Path, settings_for: SettingsMaker, run_job: Runner
) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"text": ["a", "b"]})
    with leased(str(tmp_path / "out")):
        with pytest.raises(BusyError, match=f"process {psutil.Process().pid} on"):
            run_job(settings_for())
        assert not (tmp_path / "out" / "_SUCCESS").exists()
    assert run_job(settings_for()).status == "PUBLISHED"


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
