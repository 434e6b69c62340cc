"""Processes of this machine: their identity, their ancestors, and their memory."""

import os
import resource
import sys
from pathlib import Path


def machine() -> str:
    """Return an id of this boot of this machine and of its set of process numbers; containers have their own set.

    Raises:
        OSError: the system has no such ids.
    """
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip() + os.readlink("/proc/self/ns/pid")


def identity(pid: int) -> str | None:
    """Return an id that no other process ever has, as machine/process; None if it is dead or has no such id.

    A process is its number and the ticks from boot to its start, which don't change when the clock is set.
    """
    try:
        here = machine()
        # The name, second field, is in parentheses and may hold spaces.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    state, started = fields[0], fields[19]
    return None if state in "ZX" else f"{here}/{pid}-{started}"


def ancestors(pid: int) -> set[int]:
    """Return the numbers of the processes that a process descends from, as far as the system shows them."""
    numbers: set[int] = set()
    while True:
        try:
            # The name, second field, is in parentheses and may hold spaces.
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError, ValueError):
            return numbers
        if pid <= 0 or pid in numbers:
            return numbers
        numbers.add(pid)


def peak_bytes() -> int:
    """Return the largest resident memory that this process ever had."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
