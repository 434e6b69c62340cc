"""Nothing that a label, a file, a column, a lease or a library says can steer a terminal or forge a line."""

import contextlib
import io
import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from pipeline_lib.machine.processes import identity
from pipeline_lib.machine.terminal import EscapingStream, escaped_output, printable
from pipeline_lib.reporting.terminal.progress import Progress
from pipeline_lib.reporting.terminal.summary import bars
from pipeline_lib.storage.records import LEASE, LeaseRecord
from tests.conftest import Runner, SettingsMaker, write_parquet
from tests.helpers.command_line import Ended, nightscore, nightscore_program

EVIL = "\x1b[2J\x1b]0;owned\x07\rPUBLISHED in=1 \u202etxt\x9b1m\nPUBLISHED in=9 scored=9"


def score(*arguments: str) -> tuple[int, str, str]:
    """Call the command line, and check that what it prints is lines of visible characters."""
    return checked(nightscore(*arguments))


def checked(ended: Ended) -> tuple[int, str, str]:
    for line in [*ended.stdout.split("\n"), *ended.stderr.split("\n")]:
        assert line.isprintable(), repr(line)
        assert not line.startswith("PUBLISHED"), "a forged line"
    return ended.returncode, ended.stdout, ended.stderr


@pytest.fixture
def config(tmp_path: Path, checkpoint: Path) -> Path:
    """A settings file of a job whose labels, file, columns and output are hostile."""
    folder = shutil.copytree(checkpoint, tmp_path / "model")
    values = json.loads((folder / "config.json").read_text())
    values["id2label"] = {"0": f"bad{EVIL}", "1": ":bomb: [red]good"}
    (folder / "config.json").write_text(json.dumps(values))
    name = f"shard{EVIL.replace('/', '')}.parquet"
    write_parquet(tmp_path / "in" / name, {f"id{EVIL}": range(3), "text": ["a", "b", None]})
    settings = {
        "model": {"name": str(folder)},
        "input": {"path": str(tmp_path / "in")},
        "output": {"path": str(tmp_path / f"out{EVIL}")},
        "limits": {"max_reject_rate": 1.0},
    }
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(settings))
    return tmp_path / "job.yaml"


@given(st.text(st.characters(codec=None, exclude_categories=())))
def test_any_text_becomes_one_visible_line_and_a_visible_line_stays(text: str) -> None:
    assert printable(text).isprintable()
    assert printable(printable(text)) == printable(text)
    if text.isprintable():
        assert printable(text) == text


def test_labels_and_columns_are_escaped_in_a_plan(config: Path) -> None:
    code, out, _ = score("plan", "--local", str(config))
    assert code == 0
    assert r"bad\x1b[2J\x1b]0;owned\x07\rP" in out
    assert ":bomb: [red]good" in out, "a label was taken for markup"


def test_file_names_are_escaped_in_an_error(config: Path, tmp_path: Path) -> None:
    (shard,) = (tmp_path / "in").iterdir()
    shard.write_bytes(b"no Parquet")
    code, _, err = score("run", str(config))
    assert code == 2
    assert "is not a whole Parquet file" in err


@pytest.mark.slow
def test_the_host_of_a_lease_is_escaped(config: Path, tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "300"]) as owner:
        record = LeaseRecord(run=EVIL, host=EVIL, pid=owner.pid, process=identity(owner.pid))
        (folder := tmp_path / f"out{EVIL}").mkdir()
        (folder / LEASE).write_bytes(record.to_bytes())
        code, _, err = checked(nightscore_program("run", str(config), "--set", "tuning.model_actors=1"))
        owner.kill()
    assert code == 4
    assert rf"process {owner.pid} on \x1b[2J" in err


def test_files_that_verify_names_are_escaped(
    config: Path, tmp_path: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    write_parquet(tmp_path / "good" / "a.parquet", {"text": ["a"]})
    out = tmp_path / "verified"
    run_here(settings_for(input={"path": str(tmp_path / "good")}, output={"path": str(out)}))
    (out / f"part{EVIL}.parquet").write_bytes(b"")
    code, _, err = score("verify", str(config), "--set", f"output.path={out}")
    assert code == 3
    assert r"\x1b[2J" in err


def test_a_date_and_an_option_are_escaped(config: Path) -> None:
    assert score("run", str(config), "--date", EVIL)[0] == 2
    assert score("run", str(config), f"--{EVIL}")[0] == 2
    assert score("run", str(config), "--set", f"{EVIL}=1")[0] == 2


def test_what_a_run_tells_on_a_terminal_has_no_sequences_but_its_own() -> None:
    told = io.StringIO()
    progress = Progress(Console(file=told, force_terminal=True, width=80, color_system=None))
    progress.note(EVIL)
    progress.phase(EVIL)
    assert all(line.isprintable() for line in told.getvalue().split("\n"))
    assert len(told.getvalue().splitlines()) == 2


def test_messages_of_libraries_are_escaped_and_keep_their_lines() -> None:
    real = io.StringIO()
    with contextlib.redirect_stderr(real), escaped_output() as terminal:
        assert terminal is real
        assert isinstance(sys.stderr, EscapingStream)
        with escaped_output() as inner:
            assert inner is real
        logging.StreamHandler().emit(logging.makeLogRecord({"msg": "weights \x1b[31m missing\n\tof\x9b2J"}))
    assert real.getvalue() == "weights \\x1b[31m missing\n\tof\\x9b2J\n"


def test_names_of_files_that_are_no_text_can_be_told(tmp_path: Path, config: Path) -> None:
    path = os.fsencode(tmp_path / "in") + b"/no\xff\x1btext.parquet"
    with open(path, "wb") as file:
        file.write(b"none")
    code, _, err = score("run", str(config))
    assert code == 2
    assert r"\udcff\x1btext.parquet" in err


def test_bars_are_as_wide_as_their_share_and_rare_labels_are_summed() -> None:
    shown = bars({"good": 3, "bad": 1})
    assert [line.count("█") for line in shown] == [18, 6]
    assert shown[0].split()[-2:] == ["3", "75.0%"]
    many = bars({f"label {number}": 1 for number in range(1_000)})
    assert len(many) == 9
    assert "992 other labels" in many[-1]
    assert bars({}) == []


def test_a_text_column_of_bytes_is_not_shown(config: Path, tmp_path: Path) -> None:
    write_parquet(tmp_path / "in" / "z.parquet", pa.table({f"id{EVIL}": [1], "text": pa.array([b"\x1b[2J"])}))
    code, _, err = score("plan", str(config))
    assert code == 2
    assert "is binary" in err
