"""The program's command line: called in this process, where a process is not the point, or as a program."""

import contextlib
import io
import os
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import huggingface_hub.constants

from jobs.score import main
from tests.conftest import ROOT

Ended = subprocess.CompletedProcess[str]


def nightscore(*arguments: str, columns: int = 100) -> Ended:
    """Run the command line in this process, which saves the seconds that a program needs to import PyTorch.

    What has to start Ray uses the one of the fixture `one_ray`.
    """
    return _called(main, "score.py", *arguments, columns=columns)


def module(name: str, *arguments: str) -> Ended:
    """Do what `python -m name` does, in this process."""
    return _called(lambda: runpy.run_module(name, run_name="__main__"), name, *arguments, columns=100)


def _called(program: Callable[[], object], *words: str, columns: int) -> Ended:
    stdout, stderr, code = io.StringIO(), io.StringIO(), 0
    with (
        contextlib.chdir(ROOT),
        _arguments(*words),
        _environment(COLUMNS=str(columns)),
        offline(),
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
    ):
        try:
            program()
        except SystemExit as ended:
            code = int(ended.code or 0)
    return Ended(words[1:], code, stdout.getvalue(), stderr.getvalue())


def nightscore_program(*arguments: str, columns: int = 100, folder: Path = ROOT) -> Ended:
    """Run the program as a user does, in a process of its own."""
    command = [sys.executable, "-m", "jobs.score", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": str(columns)}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=250, check=False
    )


def error_line(ended: Ended, code: int = 2) -> str:
    """Check that a command ended with one clear message before anything was scored, and return the message."""
    assert ended.returncode == code, ended.stderr
    assert "Traceback" not in ended.stderr
    assert "workers" not in ended.stderr
    lines = [line for line in ended.stderr.splitlines() if line and not line.startswith("start    ")]
    assert len(lines) == 1, ended.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


def lines_about(output: str, topic: str) -> list[str]:
    """Return what a run printed about a topic, such as `columns`."""
    return [line[9:] for line in output.splitlines() if line[:8].strip() == topic]


@contextlib.contextmanager
def offline() -> Iterator[None]:
    """Do what HF_HUB_OFFLINE=1 does, also when the hub's library is imported already."""
    before = huggingface_hub.constants.HF_HUB_OFFLINE
    huggingface_hub.constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        huggingface_hub.constants.HF_HUB_OFFLINE = before


@contextlib.contextmanager
def _arguments(*arguments: str) -> Iterator[None]:
    before = sys.argv
    sys.argv = [*arguments]
    try:
        yield
    finally:
        sys.argv = before


@contextlib.contextmanager
def _environment(**changes: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
