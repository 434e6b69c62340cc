"""Kill the processes that Ray leaves when its driver is killed: agents that keep memory and ports for a minute.

This file is also a program, which runs beside the driver. It kills only processes that the driver's own raylet
started, each by a handle that was opened while the raylet was its parent. So neither a process id that is used
again nor a planted file can make it kill another process.
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
_SECONDS_BETWEEN_LISTINGS = 0.25
# The agents start with the raylet; later listings are for those that are restarted.
_SECONDS_OF_STARTING = 60.0
_SECONDS_BETWEEN_LATER_LISTINGS = 10.0


@contextlib.contextmanager
def orphans_killed(folder: Path) -> Iterator[None]:
    """Kill the processes of the block's Ray that still run when the block or this process ends.

    Args:
        folder: that Ray's folder of logs and sockets, which is removed too.
    """
    if not _PROCESSES.is_dir() or not hasattr(os, "pidfd_open"):  # macOS
        try:
            yield
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return
    # In a session of its own, since Ctrl-C ends all processes of the driver's group.
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
    """Return the ids of this user's processes that a process started: all, or those of one name."""
    children = []
    for entry in os.scandir(_PROCESSES):
        # Some end during the listing.
        with contextlib.suppress(OSError, ValueError):
            pid = int(entry.name)
            # The second field is the name, in parentheses; it can hold any character.
            start, _, rest = (_PROCESSES / entry.name / "stat").read_text().rpartition(")")
            is_child = int(rest.split()[1]) == parent and entry.stat().st_uid == os.getuid()
            if is_child and name in {None, start.partition("(")[2]}:
                children.append(pid)
    return children


class _RayletChildren:
    """The processes that a driver's raylet started, as handles, which never refer to another process."""

    def __init__(self, driver: int) -> None:
        self._driver = driver
        self._handles: dict[int, int] = {}

    def open_handles(self) -> None:
        """Open a handle of each process of the raylet that runs now."""
        for pid in [pid for pid, handle in self._handles.items() if _has_ended(handle)]:
            os.close(self._handles.pop(pid))
        for raylet in _children(self._driver, "raylet"):
            fresh = {}
            for pid in _children(raylet):
                if pid not in self._handles:
                    with contextlib.suppress(OSError):
                        fresh[pid] = os.pidfd_open(pid)
            # The id may have passed to another process before it was opened; that one is no child of the raylet.
            still = set(_children(raylet))
            for pid, handle in fresh.items():
                if pid in still:
                    self._handles[pid] = handle
                else:
                    os.close(handle)

    def kill(self) -> None:
        """Kill every process with an open handle; those that have ended already are no error."""
        for handle in self._handles.values():
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)


def _has_ended(handle: int) -> bool:
    return bool(select.select([handle], [], [], 0)[0])


def _wait_beside(driver: int, folder: str) -> None:
    children, began = _RayletChildren(driver), time.monotonic()
    pause = 0.0
    while not select.select([sys.stdin], [], [], pause)[0]:  # readable when the driver closes it, or ends
        children.open_handles()
        is_starting = time.monotonic() - began < _SECONDS_OF_STARTING
        pause = _SECONDS_BETWEEN_LISTINGS if is_starting else _SECONDS_BETWEEN_LATER_LISTINGS
    children.kill()
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    _wait_beside(int(sys.argv[1]), sys.argv[2])
