"""What the workers tell while they work: rows scored so far and memory used, in one place for the driver to see."""

import contextlib
import math
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline_lib.inputs.shards import Slice
from pipeline_lib.machine.processes import peak_bytes
from pipeline_lib.scoring.bisection import Ledger

_POLL_SECONDS = 0.5


class _Counts:
    """The actor that holds the counts and the ledger. Losing it loses no work: both start anew."""

    def __init__(self) -> None:
        self._rows: dict[tuple[int, int], int] = {}
        self._peaks: dict[str, tuple[str, int]] = {}
        self._busy: dict[tuple[str, str], float] = defaultdict(float)
        self._began, self._ended = math.inf, 0.0
        self._ledger = Ledger()
        self._said: dict[str, None] = {}

    def scored(self, part: tuple[int, int], rows: int) -> None:
        self._rows[part] = rows

    def worked(self, role: str, actor: str, used: int, began: float, ended: float) -> None:
        self._busy[role, actor] += ended - began
        self._began, self._ended = min(self._began, began), max(self._ended, ended)
        # One actor may have all roles; the model's is the one that tells.
        known, before = self._peaks.get(actor, (role, 0))
        self._peaks[actor] = ("model" if "model" in (role, known) else known, max(used, before))

    def total(self) -> int:
        return sum(self._rows.values())

    def peaks(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = defaultdict(list)
        for role, used in sorted(self._peaks.values()):
            found[role].append(used)
        return dict(found)

    def busy(self) -> tuple[float, dict[str, float]]:
        seconds = max(self._ended - self._began, 0.0)
        found: dict[str, list[float]] = defaultdict(list)
        for (role, _), busy in sorted(self._busy.items()):
            found[role].append(busy / seconds if seconds else 0.0)
        return seconds, {role: sum(shares) / len(shares) for role, shares in found.items()}

    def say(self, text: str) -> None:
        self._said[text] = None

    def said(self) -> list[str]:
        return list(self._said)

    def ledger(self, call: str, *arguments: Any) -> Any:
        return getattr(self._ledger, call)(*arguments)


class Tally:
    """The driver's view of the counts, and the handle that workers report through."""

    def __init__(self) -> None:
        # Beside the driver: it then lives as long as the run does, whatever machine is lost.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        options = {"num_cpus": 0, "max_restarts": -1, "max_task_retries": -1, "scheduling_strategy": here}
        self._counts: Any = ray.remote(_Counts).options(**options).remote()

    def rows(self) -> int:
        """Rows that went through the model in this run."""
        return int(ray.get(self._counts.total.remote()))

    def peaks(self) -> dict[str, list[int]]:
        """Largest memory of every process in bytes, by what it did; an actor that was restarted counts once."""
        found: dict[str, list[int]] = ray.get(self._counts.peaks.remote())
        return {"driver": [peak_bytes()], **found}

    def busy(self) -> tuple[float, dict[str, float]]:
        """Seconds from the first slice's start to the last one's end, and each stage's share of them at work."""
        seconds, shares = ray.get(self._counts.busy.remote())
        return float(seconds), dict(shares)

    def scored(self, part: Slice, rows: int) -> None:
        """Report how many rows of a slice are done; said again after a retry, it does not count twice."""
        self._counts.scored.remote((part.shard, part.first_row), rows)

    def scoring(self, part: Slice) -> Callable[[Sequence[int]], None]:
        """Return a function that is told the rows of each batch and reports progress, twice a second at most."""
        told, begun, batch = time.monotonic(), 0, 0

        def report(rows: Sequence[int]) -> None:
            nonlocal told, begun, batch
            begun, batch = begun + batch, len(rows)
            if time.monotonic() - told >= _POLL_SECONDS:
                told = time.monotonic()
                self.scored(part, begun)

        return report

    @contextlib.contextmanager
    def working(self, role: str) -> Iterator[None]:
        """Report how long the block took, and the memory of the actor that this process is."""
        began = time.time()  # the one clock that machines share
        yield
        actor = str(ray.get_runtime_context().get_actor_id())
        self._counts.worked.remote(role, actor, peak_bytes(), began, time.time())

    def say(self, text: str) -> None:
        """Tell what a user should know and is no failure; said by several workers, it counts once."""
        self._counts.say.remote(text)

    def said(self) -> list[str]:
        """Return what workers told, in the order in which it was first said."""
        found: list[str] = ray.get(self._counts.said.remote())
        return found

    def notes(self, call: str, *arguments: Any) -> Any:
        """Call a method of the ledger of `suspects`; what is told is known there when this returns."""
        return ray.get(self._counts.ledger.remote(call, *arguments))


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
