"""What the workers tell while they work: rows scored so far and memory used, in one place for the driver to see."""

import contextlib
import os
import resource
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import ray

from pipeline_lib.shards import Slice

_POLL_SECONDS = 0.5


class _Counts:
    """The actor that holds the counts. It only ever counts: losing it loses no work."""

    def __init__(self) -> None:
        self._rows: dict[tuple[int, int], int] = {}
        self._peaks: dict[str, dict[tuple[str, int], int]] = defaultdict(dict)

    def scored(self, part: tuple[int, int], rows: int) -> None:
        self._rows[part] = rows

    def peak(self, role: str, process: tuple[str, int], used: int) -> None:
        self._peaks[role][process] = used

    def total(self) -> int:
        return sum(self._rows.values())

    def peaks(self) -> dict[str, list[int]]:
        return {role: sorted(processes.values()) for role, processes in self._peaks.items()}


class Tally:
    """The driver's view of the counts, and the handle that workers report through."""

    def __init__(self) -> None:
        self._counts: Any = ray.remote(_Counts).options(num_cpus=0).remote()

    def rows(self) -> int:
        """Rows that went through the model in this run."""
        return int(ray.get(self._counts.total.remote()))

    def peaks(self) -> dict[str, list[int]]:
        """Largest memory of every process in bytes, by what the process did."""
        found: dict[str, list[int]] = ray.get(self._counts.peaks.remote())
        return {"driver": [peak_bytes()], **found}

    def scored(self, part: Slice, rows: int) -> None:
        """Report how many rows of a slice are done; said again after a retry, it does not count twice."""
        self._counts.scored.remote((part.shard, part.first_row), rows)

    def scoring(self, part: Slice) -> Callable[[int], None]:
        """Return a function that reports how many rows of a slice are done so far, twice a second at most."""
        told = time.monotonic()

        def report(rows: int) -> None:
            nonlocal told
            if time.monotonic() - told >= _POLL_SECONDS:
                told = time.monotonic()
                self.scored(part, rows)

        return report

    def used(self, role: str) -> None:
        """Report this process's memory."""
        self._counts.peak.remote(role, (os.uname().nodename, os.getpid()), peak_bytes())


@contextlib.contextmanager
def watched(on_rows: Callable[[int], None]) -> Iterator[Tally]:
    """Yield a tally, and call `on_rows` with its total twice a second until the block ends."""
    tally, done = Tally(), threading.Event()

    def poll() -> None:
        while not done.wait(_POLL_SECONDS):
            with contextlib.suppress(ray.exceptions.RayError):
                on_rows(tally.rows())

    thread = threading.Thread(target=poll, daemon=True)
    thread.start()
    try:
        yield tally
    finally:
        done.set()
        thread.join()


def peak_bytes() -> int:
    """Return the most memory this process ever had resident."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
