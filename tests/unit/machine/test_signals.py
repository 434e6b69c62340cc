"""SIGTERM ends the program within seconds, whatever hangs, and its last line tells what is staged."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT
from tests.helpers.stores.hanging_store import HangingStore

pytestmark = pytest.mark.slow

STUCK_IN_C = """
import ctypes, threading
from pipeline_lib.machine.signals import stoppable
with stoppable(lambda why: (f"error: {why}\\n", "STOPPED\\n")):
    lock, libc = ctypes.create_string_buffer(64), ctypes.CDLL(None)
    libc.pthread_mutex_lock(lock)
    print("stuck", flush=True)
    libc.pthread_mutex_lock(lock)  # which no signal ends
"""
SWALLOWED = """
import time
from pipeline_lib.machine.signals import stoppable
with stoppable(lambda why: (f"error: {why}\\n", "STOPPED\\n")):
    print("stuck", flush=True)
    while True:
        try:
            time.sleep(0.1)
        except KeyboardInterrupt:
            pass
"""

AWKWARD_PLACES = """
import signal, sys, time
from jobs.commands.ending import ended

class Sends:
    def __set_name__(self, owner, name):  # what is raised here becomes the cause of a RuntimeError
        signal.raise_signal(int(sys.argv[2]))

    def __del__(self):  # and what is raised here is printed and ignored
        signal.raise_signal(int(sys.argv[2]))

def in_a_class_body():
    type("Owner", (), {"field": Sends()})

def in_a_destructor():
    sends = Sends()
    del sends
    time.sleep(10)
    print("went on")

ended(globals()[sys.argv[1]], debug=False, closing=lambda error: f"STOPPED {error}")
"""


@pytest.mark.parametrize(
    ("number", "why"), [(signal.SIGTERM, "stopped by SIGTERM"), (signal.SIGINT, "interrupted")]
)
@pytest.mark.parametrize("place", ["in_a_class_body", "in_a_destructor"])
def test_a_signal_in_a_place_where_python_hides_exceptions_ends_the_program_in_order(
    place: str, number: signal.Signals, why: str
) -> None:
    command = [sys.executable, "-c", AWKWARD_PLACES, place, str(int(number))]
    program = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert program.returncode == 1
    assert program.stdout == f"STOPPED {why if number == signal.SIGTERM else ''}\n"
    (line,) = program.stderr.splitlines()
    assert line.startswith(f"error: {why}; run the same command again")


@pytest.fixture
def store() -> Iterator[HangingStore]:
    """A store that never answers when an object is asked for."""
    server = HangingStore()
    yield server
    server.shutdown()
    server.server_close()


def environment(store: HangingStore) -> dict[str, str]:
    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}
    return {**os.environ, "PYTHONPATH": str(ROOT), "AWS_ENDPOINT_URL": store.url, **keys}


def stopped(process: "subprocess.Popen[str]", number: int = signal.SIGTERM) -> tuple[str, str]:
    """Stop a program; return what it printed on standard output and standard error."""
    began = time.monotonic()
    process.send_signal(number)
    try:
        out, err = process.communicate(timeout=40)
    finally:
        process.kill()
    assert time.monotonic() - began < 30
    assert process.returncode == 1, err
    return out, err


def started(command: list[str], env: dict[str, str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_storage_that_never_answers_does_not_hold_a_program_that_is_to_stop(
    command: str, store: HangingStore, tmp_path: Path, checkpoint: Path
) -> None:
    settings = {
        "model": {"name": str(checkpoint)},
        "input": {"path": "s3://b/x/*.parquet"},
        "output": {"path": str(tmp_path / "out")},
    }
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(settings))
    words = [sys.executable, "-m", "jobs.score", command, str(tmp_path / "job.yaml")]
    process = started(words, environment(store))
    assert store.asked.wait(60)
    out, err = stopped(process)
    last = err.splitlines()[-1]
    assert last == "error: stopped by SIGTERM; run the same command again to go on where it stopped"
    if command == "run":
        assert out.startswith("STOPPED before anything was scored ")


@pytest.mark.parametrize("program", [STUCK_IN_C, SWALLOWED])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_main_thread_that_never_comes_to_its_signal_is_ended_with_the_last_words(
    program: str, number: int
) -> None:
    process = started([sys.executable, "-c", program], {**os.environ, "PYTHONPATH": str(ROOT)})
    assert process.stdout
    assert process.stdout.readline() == "stuck\n"
    time.sleep(1)  # until it is
    out, err = stopped(process, number)
    assert out == "STOPPED\n"
    assert err == f"error: {'stopped by SIGTERM' if number == signal.SIGTERM else 'interrupted'}\n"
