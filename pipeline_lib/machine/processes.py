"""Processes: what tells one from every other one, which it descends from, and how much memory it had."""

import os
import resource
import sys
from pathlib import Path


def machine() -> str:
    """Return what tells this boot of this machine, and its set of process numbers, since containers have their own.

    Raises:
        OSError: the system does not tell.
    """
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip() + os.readlink("/proc/self/ns/pid")


def identity(pid: int) -> str | None:
    """Return what tells a living process from every other one, as machine/process; None if dead or not to be told.

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
    """Return the numbers of the processes that a process descends from, as far as the system tells."""
    found: set[int] = set()
    while True:
        try:
            # The name, second field, is in parentheses and may hold spaces.
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError, ValueError):
            return found
        if pid <= 0 or pid in found:
            return found
        found.add(pid)


def peak_bytes() -> int:
    """Return the most memory this process ever had resident."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
