"""End what is left of a Ray whose driver was killed: its agents would stay a minute, with memory and ports.

This file is also a program of its own, which waits beside the driver, in no need of any package.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

_PROCESSES = Path("/proc")
_IN_ORDER = "ended in order"


@contextlib.contextmanager
def reaped() -> Iterator[Callable[[str], None]]:
    """Yield a function to tell a folder to.

    If this process is killed in the block, all others with a file open in that folder are killed too.
    """
    if not (_PROCESSES / "self" / "fd").exists():
        yield lambda _: None  # macOS doesn't tell
        return
    # A session of its own, so that what ends the driver's group, as Ctrl-C does, does not end it.
    command = [sys.executable, "-S", __file__]
    with subprocess.Popen(  # noqa: S603 - our own file
        command, stdin=subprocess.PIPE, text=True, start_new_session=True
    ) as program:

        def tell(line: str) -> None:
            if program.stdin:
                program.stdin.write(line + "\n")
                program.stdin.flush()

        try:
            yield tell
        finally:
            tell(_IN_ORDER)


def _reap(folder: str) -> None:
    for process in _PROCESSES.glob("[0-9]*"):
        # Some are gone by now, others are none of ours to look at.
        with contextlib.suppress(OSError):
            if any(os.readlink(file).startswith(folder) for file in (process / "fd").iterdir()):
                os.kill(int(process.name), signal.SIGKILL)


if __name__ == "__main__":
    told = sys.stdin.read().splitlines()  # ends when the driver does, whatever ends it
    if told and told[-1] != _IN_ORDER:
        _reap(told[0].rstrip("/") + "/")
