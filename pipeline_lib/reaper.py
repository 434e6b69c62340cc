"""End what is left of a Ray whose driver was killed: its agents would stay a minute, with memory and ports.

This file is also a program of its own, which waits beside the driver, in no need of any package.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_PROCESSES = Path("/proc")
_IN_ORDER = "ended in order"


@contextlib.contextmanager
def reaped() -> Iterator[None]:
    """If this process is killed in the block, kill what is left of the Ray that it started."""
    if not (_PROCESSES / "self" / "fd").exists():
        yield  # macOS doesn't tell which files a process has open
        return
    # A session of its own, so that what ends the driver's group, as Ctrl-C does, does not end it.
    command = [sys.executable, "-S", __file__, str(os.getpid())]
    with subprocess.Popen(  # noqa: S603 - our own file
        command, stdin=subprocess.PIPE, text=True, start_new_session=True
    ) as program:
        try:
            yield
        finally:
            if program.stdin:
                program.stdin.write(_IN_ORDER)


def _reap(driver: str) -> None:
    # Ray names its folder of logs and sockets by the time and by the process that started it.
    logs = re.compile(rf"/session_[\d_-]+_{driver}/")
    for process in _PROCESSES.glob("[0-9]*"):
        # Some are gone by now, others are none of ours to look at.
        with contextlib.suppress(OSError):
            if any(logs.search(os.readlink(file)) for file in (process / "fd").iterdir()):
                os.kill(int(process.name), signal.SIGKILL)


if __name__ == "__main__":
    if sys.stdin.read() != _IN_ORDER:  # read ends when the driver does, whatever ends it
        _reap(sys.argv[1])
