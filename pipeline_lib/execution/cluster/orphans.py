"""End what Ray leaves when its driver is killed: agents that would stay a minute, with memory and ports.

This file is also a program of its own, which waits beside the driver. Only what the driver's own raylet started is
ended, each process by a handle that was taken while the raylet was its parent: neither a number that is in use
again nor a file that somebody planted can lead to another process.
"""

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

_PROCESSES = Path("/proc")
_SECONDS_BETWEEN_LOOKS = 0.25
# The agents start with the raylet; later looks are for what is started again.
_SECONDS_OF_STARTING = 60.0
_SECONDS_BETWEEN_LATER_LOOKS = 10.0


@contextlib.contextmanager
def reaped(folder: Path) -> Iterator[None]:
    """However the block or this process ends: end what is left of the Ray that was started in it.

    Args:
        folder: that Ray's own folder of logs and sockets, which is removed too.
    """
    if not _PROCESSES.is_dir() or not hasattr(os, "pidfd_open"):  # macOS
        try:
            yield
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return
    # A session of its own, so that what ends the driver's group, as Ctrl-C does, does not end it.
    command = [sys.executable, "-S", "-m", __name__, str(os.getpid()), str(folder)]
    above = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    program = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True, env=above)  # noqa: S603
    try:
        yield
    finally:
        if program.stdin:
            program.stdin.close()
        program.wait()


def _children(parent: int, name: str | None = None) -> list[int]:
    """Return the numbers of this user's processes that a process started, or those of them with some name."""
    found = []
    for entry in os.scandir(_PROCESSES):
        # Some end while they are looked at.
        with contextlib.suppress(OSError, ValueError):
            pid = int(entry.name)
            # The name, second field, is in parentheses and may hold anything.
            start, _, rest = (_PROCESSES / entry.name / "stat").read_text().rpartition(")")
            is_child = int(rest.split()[1]) == parent and entry.stat().st_uid == os.getuid()
            if is_child and name in {None, start.partition("(")[2]}:
                found.append(pid)
    return found


class _Family:
    """The processes that a driver's raylet started, held so that no other process can take their place."""

    def __init__(self, driver: int) -> None:
        self._driver = driver
        self._handles: dict[int, int] = {}

    def look(self) -> None:
        """Take a handle of each process of the raylet that lives now."""
        for pid in [pid for pid, handle in self._handles.items() if _has_ended(handle)]:
            os.close(self._handles.pop(pid))
        for raylet in _children(self._driver, "raylet"):
            fresh = {}
            for pid in _children(raylet):
                if pid not in self._handles:
                    with contextlib.suppress(OSError):
                        fresh[pid] = os.pidfd_open(pid)
            # The number may have been given again before it was opened: then the raylet has no such child.
            still = set(_children(raylet))
            for pid, handle in fresh.items():
                if pid in still:
                    self._handles[pid] = handle
                else:
                    os.close(handle)

    def end(self) -> None:
        """Kill every process that a handle is held of; those that have ended already are no error."""
        for handle in self._handles.values():
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)


def _has_ended(handle: int) -> bool:
    return bool(select.select([handle], [], [], 0)[0])


def _wait_beside(driver: int, folder: str) -> None:
    family, began = _Family(driver), time.monotonic()
    pause = 0.0
    while not select.select([sys.stdin], [], [], pause)[0]:  # readable when the driver closes it, or ends
        family.look()
        is_starting = time.monotonic() - began < _SECONDS_OF_STARTING
        pause = _SECONDS_BETWEEN_LOOKS if is_starting else _SECONDS_BETWEEN_LATER_LOOKS
    family.end()
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    _wait_beside(int(sys.argv[1]), sys.argv[2])
