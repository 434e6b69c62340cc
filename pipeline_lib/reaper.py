"""End what is left of a Ray whose driver was killed: its agents would stay a minute, with memory and ports.

This file is also a program of its own, which waits beside the driver. Where that was killed too, the next run ends
what it finds.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pipeline_lib.processes import identity, machine

_PROCESSES = Path("/proc")
_IN_ORDER = "ended in order"
# What Ray was just starting when the driver was killed shows in a later look, if at all.
_LOOKS_WITHOUT_ANY = 12
_SECONDS_BETWEEN_LOOKS = 0.25

_looking: list[subprocess.Popen[str]] = []
"""The program that still looks for what a start of Ray left that was given up."""


@contextlib.contextmanager
def reaped() -> Iterator[Callable[[], None]]:
    """If this process is killed in the block, kill what is left of the Ray that it started.

    Yields:
        A function that kills all of that Ray now, and what it was just starting a little later.
    """
    if not (_PROCESSES / "self" / "fd").exists():
        yield lambda: None  # macOS doesn't tell which files a process has open
        return
    _end_orphans()
    if _looking:
        _looking.pop().wait()  # it could take our Ray for the one before
    note = _notes() / str(os.getpid())
    note.write_text(identity(os.getpid()) or "")
    # A session of its own, so that what ends the driver's group, as Ctrl-C does, does not end it.
    command = [sys.executable, "-S", "-m", __name__, str(os.getpid())]
    above = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    program = subprocess.Popen(  # noqa: S603 - our own file
        command, stdin=subprocess.PIPE, text=True, start_new_session=True, env=above
    )

    def end_all() -> None:
        _kill_all(str(os.getpid()))
        _looking.append(program)

    try:
        yield end_all
    finally:
        with program.stdin or contextlib.nullcontext() as told:
            if told and program not in _looking:
                told.write(_IN_ORDER)
        if program not in _looking:
            program.wait()
        note.unlink(missing_ok=True)


def _notes() -> Path:
    """Return the folder where every driver at work has a note, of its number and with its identity."""
    folder = Path(tempfile.gettempdir(), f"nightscore-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _end_orphans() -> None:
    """Kill what is left of the Rays of drivers that were killed together with their reaper."""
    for note in _notes().iterdir():
        with contextlib.suppress(OSError, ValueError):
            here = note.read_text().startswith(f"{machine()}/")
            # A number that is in use again tells nothing: the sessions of both have the same name.
            if here and identity(int(note.name)) is None:
                _kill_all(note.name)
                note.unlink()


def _kill_all(driver: str) -> int:
    """Kill the processes of the Ray that a driver started, not the driver; return how many there were."""
    # Ray names its folder of logs and sockets by the time and by the process that started it.
    logs = re.compile(rf"/session_[\d_-]+_{driver}/")
    killed = 0
    for process in set(_PROCESSES.glob("[0-9]*")) - {_PROCESSES / driver}:
        # Some are gone by now, others are none of ours to look at.
        with contextlib.suppress(OSError):
            if any(logs.search(os.readlink(file)) for file in (process / "fd").iterdir()):
                os.kill(int(process.name), signal.SIGKILL)
                killed += 1
    return killed


def _reap(driver: str) -> None:
    looks = 0
    while looks < _LOOKS_WITHOUT_ANY:
        looks = 0 if _kill_all(driver) else looks + 1
        time.sleep(_SECONDS_BETWEEN_LOOKS)


if __name__ == "__main__":
    if sys.stdin.read() != _IN_ORDER:  # read ends when the driver does, whatever ends it
        _reap(sys.argv[1])
