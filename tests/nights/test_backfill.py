"""`backfill`: many nights with one model, each with its own lease, verdict and line."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT, write_parquet
from tests.helpers.command_line import Ended, error_line, lines_about, nightscore
from tests.helpers.processes import kill, process_tree, survivors
from tests.helpers.started_runs import wait_for
from tests.helpers.watching.nights import damage, night, nightly, published_nights, records, span, write_night

# Of the nights of `mixed_nights`, by number.
PUBLISHED_BEFORE, WITHOUT_INPUT, HELD, TRUNCATED, DAMAGED = 0, 1, 2, 3, 4
NIGHTS = 7


def mixed_nights(folder: Path, checkpoint: Path) -> Path:
    """Write nights that end in every way, of which one is published; return the settings file."""
    config = nightly(folder, checkpoint)
    for number in set(range(NIGHTS)) - {WITHOUT_INPUT}:
        write_night(folder, number)
    write_night(folder, HELD, rows=3)
    truncated = write_night(folder, TRUNCATED)
    truncated.write_bytes(truncated.read_bytes()[:-20])
    damage(write_night(folder, DAMAGED, rows=40))
    assert one_night(config, PUBLISHED_BEFORE, *GATE).returncode == 0
    return config


GATE = ("--set", "limits.min_rows=10")


def one_night(config: Path, number: int, *options: str) -> Ended:
    """Run one night by itself, in this process."""
    return nightscore("run", str(config), "--local", "--date", f"{night(number)}", *options)


def states(config: Path, nights: int = NIGHTS) -> list[str]:
    """Return what `status` says of each night."""
    shown = nightscore("status", str(config), *span(nights), *GATE, "--json")
    return [found["state"] for found in json.loads(shown.stdout)]


def check_mixed_nights(ended: Ended, config: Path, *options: str) -> None:
    """Check what a backfill of `mixed_nights` with these options printed and left."""
    folder = config.parent
    assert ended.returncode == 2, ended.stderr
    *lines, last = ended.stdout.splitlines()
    told = dict(line.split(" ", 2)[:2] for line in lines)
    failed = {f"{night(number)}": "FAILED" for number in (WITHOUT_INPUT, HELD, TRUNCATED, DAMAGED)}
    assert told == failed | {f"{night(number)}": "PUBLISHED" for number in (5, 6)}
    assert re.fullmatch(
        r"BACKFILL 7 nights: 3 published, 1 held, 2 failed, 1 no_input; worked on 6 nights, [\d.ms]+", last
    )
    errors = {line.split(": ", 1)[0]: line for line in lines_about(ended.stderr, "error")}
    assert set(errors) == set(failed)
    assert "not a whole Parquet file" in errors[f"{night(TRUNCATED)}"]
    (page,) = lines_about(ended.stderr, "page")
    assert page.startswith(f"{night(HELD)}: ")
    assert page.endswith("/_report.html")
    assert states(config) == ["published", "no_input", "held", "failed", "failed", "published", "published"]
    codes = [records(folder, number)[-1]["exit_code"] for number in range(NIGHTS)]
    assert codes[:4] == [0, 5, 3, 2]
    assert codes[4] != 0
    assert codes[5:] == [0, 0]
    assert len(records(folder, PUBLISHED_BEFORE)) == 1, "a published night is left alone"
    asked = records(folder, 6)[-1]["backfill"]
    assert asked == {
        "from": f"{night(0)}",
        "to": f"{night(6)}",
        "timezone": "UTC",
        "only": "missing",
        "order": "newest",
    }
    assert not list(folder.glob("out/*/_lease.json"))
    together = published_nights(folder)
    shutil.rmtree(folder / "out")  # the manifest has the path
    for number in (0, 5, 6):  # the manifest has the settings
        assert one_night(config, number, *(options if number else ()), *GATE).returncode == 0
    assert published_nights(folder) == together


def test_each_night_has_its_own_verdict_and_those_that_fail_stop_no_other(tmp_path: Path, checkpoint: Path) -> None:
    config = mixed_nights(tmp_path, checkpoint)
    ended = nightscore("backfill", str(config), *span(NIGHTS), *GATE, "--local")
    loads = [records(tmp_path, number)[-1]["model_loads"] for number in (5, 6)]
    check_mixed_nights(ended, config)
    assert loads == [1, 1]


@pytest.mark.slow
def test_on_ray_the_nights_end_as_in_one_process_and_a_process_loads_the_model_once(
    tmp_path: Path, checkpoint: Path, one_ray: None
) -> None:
    del one_ray
    config = mixed_nights(tmp_path, checkpoint)
    apart = ("--set", "tuning.model_actors=2", "--set", "tuning.tokenizer_actors=1")
    ended = nightscore("backfill", str(config), *span(NIGHTS), *GATE, *apart)
    last = records(tmp_path, 5)[-1]  # the newest night is the first
    check_mixed_nights(ended, config, *apart)
    assert 1 <= last["model_loads"] <= 2, "not once for each night; a process may come when all is done"


def test_a_night_of_which_all_is_staged_is_published_without_ray(tmp_path: Path, checkpoint: Path) -> None:
    config = nightly(tmp_path, checkpoint)
    for number in range(2):
        write_parquet(tmp_path / "in" / f"{night(number)}" / "a.parquet", {"text": ["one"] * 40 + [None]})
        held = one_night(config, number, "--set", "limits.max_reject_rate=0")
        assert held.returncode == 3, held.stderr
    assert nightscore("backfill", str(config), *span(2)).stdout.startswith("BACKFILL 2 nights: 2 held; worked on 0")
    ended = nightscore("backfill", str(config), *span(2), "--only", "all")
    assert ended.returncode == 0, ended.stderr
    assert "workers" not in ended.stderr
    assert [line.split()[1] for line in ended.stdout.splitlines()[:2]] == ["PUBLISHED", "PUBLISHED"]


def test_with_nothing_to_do_a_backfill_says_so(tmp_path: Path, checkpoint: Path) -> None:
    config = nightly(tmp_path, checkpoint)
    write_night(tmp_path, 0)
    assert one_night(config, 0).returncode == 0
    ended = nightscore("backfill", str(config), *span(1))
    assert ended.returncode == 0
    assert re.fullmatch(r"BACKFILL 1 night: 1 published; worked on 0 nights, [\d.ms]+", ended.stdout.strip())


def test_a_dry_run_shows_the_rows_of_each_night_and_writes_nothing(tmp_path: Path, checkpoint: Path) -> None:
    config = mixed_nights(tmp_path, checkpoint)
    before = sorted(tmp_path.rglob("*"))
    ended = nightscore("backfill", str(config), *span(NIGHTS), "--dry-run")
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[0].startswith("nights   2026-11-01 to 2026-11-07 (7 nights, UTC); those that are missing")
    assert f"{night(6)}  missing      1 shard, 20 rows" in lines
    assert f"{night(PUBLISHED_BEFORE)}  published    nothing to do" in lines
    (without,) = (line for line in lines if line.startswith(f"{night(WITHOUT_INPUT)}"))
    assert "no_input     can't be scored now: the input of 2026-11-02 is not there yet" in without
    assert lines[-1] == "to do    6 nights, 83 rows, and those of 2 nights whose rows are not known"
    assert sorted(tmp_path.rglob("*")) == before


def test_the_options_of_a_backfill_are_checked_before_work_starts(tmp_path: Path, checkpoint: Path) -> None:
    config = nightly(tmp_path, checkpoint)
    assert "give --last N" in error_line(nightscore("backfill", str(config)))
    undated = ("--set", f"output.path={tmp_path}/out")
    assert "has no {date} in it" in error_line(nightscore("backfill", str(config), "--last", "2", *undated))
    zone = ("--timezone", "Europe/Berlni")
    assert "did you mean 'Europe/Berlin'?" in error_line(nightscore("backfill", str(config), "--last", "2", *zone))


def start(config: Path, nights: int) -> "subprocess.Popen[str]":
    """Start a backfill as a scheduler does."""
    return subprocess.Popen(
        [sys.executable, "-m", "jobs.score", "backfill", str(config), *span(nights)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.mark.slow
@pytest.mark.timeout(800)
def test_a_backfill_that_is_killed_or_stopped_goes_on_and_ends_with_the_bytes_of_separate_runs(
    tmp_path: Path, checkpoint: Path
) -> None:
    config = nightly(tmp_path, checkpoint)
    for number in range(4):
        write_night(tmp_path, number, rows=200)
    write_night(tmp_path, 1, rows=4_000)
    run = start(config, 4)
    wait_for(tmp_path, f"out/{night(2)}/_staging/*/part-*.json")
    everyone = process_tree(run.pid)
    kill(everyone)
    run.communicate(timeout=30)
    assert not list(survivors(everyone, 30))
    assert states(config, 4)[:2] == ["interrupted", "interrupted"]
    before = published_nights(tmp_path)

    run = start(config, 4)
    for number in (2, 3):  # which of the two ends first depends on how far the killed run got
        while not any(record["status"] == "PUBLISHED" for record in records(tmp_path, number)):
            assert run.poll() is None
            time.sleep(0.1)
    wait_for(tmp_path, f"out/{night(1)}/_staging/*/part-*.json")
    everyone = process_tree(run.pid)
    run.send_signal(signal.SIGTERM)
    said, _ = run.communicate(timeout=30)
    assert run.returncode == 1, said
    assert not list(survivors(everyone, 10))
    assert said.splitlines()[-1].startswith("BACKFILL 4 nights: 2 published, 2 interrupted; worked on ")
    assert [records(tmp_path, number)[-1]["status"] for number in (0, 1)] == ["STOPPED", "STOPPED"]
    assert "Traceback" not in said

    run = start(config, 4)
    said, _ = run.communicate(timeout=200)
    assert run.returncode == 0, said
    assert said.splitlines()[-1].startswith("BACKFILL 4 nights: 4 published; worked on 2 nights")
    found = published_nights(tmp_path)
    assert before.items() <= found.items(), "what was published before the kill is left alone"
    shutil.rmtree(tmp_path / "out")
    for number in range(4):
        assert one_night(config, number).returncode == 0
    assert published_nights(tmp_path) == found
