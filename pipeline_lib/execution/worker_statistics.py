"""What all workers of a run report, collected in one actor: rows, memory, time at work, notes, and crashes."""

import contextlib
import math
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline_lib.execution.executor import Work
from pipeline_lib.inputs.shards import Slice
from pipeline_lib.machine.processes import peak_bytes
from pipeline_lib.scoring.bisection import CrashHistory, Ledger, TextDigest

_POLL_SECONDS = 0.5


class _StatisticsActor(Ledger):
    """The actor that holds the statistics and the ledger. If it is lost, no work is lost: both start anew."""

    def __init__(self) -> None:
        super().__init__()
        self._rows: dict[tuple[int, int], tuple[int, str]] = {}
        self._peaks: dict[str, tuple[str, int]] = {}
        self._busy: dict[tuple[str, str], float] = defaultdict(float)
        self._began, self._ended = math.inf, 0.0
        self._notes: dict[str, None] = {}

    def scored(self, part: tuple[int, int], rows: int, node: str) -> None:
        self._rows[part] = rows, node  # a slice that a lost node began counts for the one that ends it

    def worked(self, role: str, actor: str, memory: int, began: float, ended: float) -> None:
        self._busy[role, actor] += ended - began
        self._began, self._ended = min(self._began, began), max(self._ended, ended)
        # An actor may have several roles; its memory is counted for the model then.
        known, before = self._peaks.get(actor, (role, 0))
        self._peaks[actor] = ("model" if "model" in (role, known) else known, max(memory, before))

    def note(self, text: str) -> None:
        self._notes[text] = None

    def scored_rows(self) -> int:
        return sum(rows for rows, _ in self._rows.values())

    def notes(self) -> list[str]:
        return list(self._notes)

    def work(self) -> Work:
        peaks: dict[str, list[int]] = defaultdict(list)
        for role, memory in sorted(self._peaks.values()):
            peaks[role].append(memory)
        seconds = max(self._ended - self._began, 0.0)
        shares: dict[str, list[float]] = defaultdict(list)
        for (role, _), busy in sorted(self._busy.items()):
            shares[role].append(busy / seconds if seconds else 0.0)
        by_node: Counter[str] = Counter()
        for rows, node in self._rows.values():
            by_node[node] += rows
        busy = {role: sum(each) / len(each) for role, each in shares.items()}
        return Work(dict(peaks), seconds, busy, dict(sorted(by_node.items())))


class _RemoteLedger:
    """The ledger in the actor; what is noted is known there when a method returns."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def begin_work(self, key: tuple[object, ...]) -> CrashHistory:
        history: CrashHistory = ray.get(self._actor.begin_work.remote(key))
        return history

    def begin_batch(self, key: tuple[object, ...], texts: Sequence[TextDigest]) -> None:
        ray.get(self._actor.begin_batch.remote(key, texts))

    def clear_candidates(self, key: tuple[object, ...]) -> None:
        ray.get(self._actor.clear_candidates.remote(key))

    def end_work(self, key: tuple[object, ...]) -> None:
        ray.get(self._actor.end_work.remote(key))


class WorkerStatistics:
    """The handle to the actor: a worker's `Monitor`, and the driver's view of all workers."""

    def __init__(self) -> None:
        # On the driver's node, so that the actor lives as long as the run, whatever other machine is lost.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        options = {"num_cpus": 0, "max_restarts": -1, "max_task_retries": -1, "scheduling_strategy": here}
        self._actor: Any = ray.remote(_StatisticsActor).options(**options).remote()
        self.ledger = _RemoteLedger(self._actor)

    def scored(self, part: Slice, rows: int) -> None:
        """See `Monitor`."""
        node = f"{ray.util.get_node_ip_address()} {ray.get_runtime_context().get_node_id()}"
        self._actor.scored.remote((part.shard, part.first_row), rows, node)

    @contextlib.contextmanager
    def working(self, role: str) -> Iterator[None]:
        """See `Monitor`."""
        began = time.time()  # the one clock that machines share
        yield
        actor = str(ray.get_runtime_context().get_actor_id())
        self._actor.worked.remote(role, actor, peak_bytes(), began, time.time())

    def note(self, text: str) -> None:
        """See `Monitor`."""
        self._actor.note.remote(text)

    def notes(self) -> list[str]:
        """Return the notes of all workers, each once, in the order in which they came."""
        notes: list[str] = ray.get(self._actor.notes.remote())
        return notes

    def scored_rows(self) -> int:
        """Return how many rows went through the model in this run."""
        return int(ray.get(self._actor.scored_rows.remote()))

    def work(self) -> Work:
        """Return the memory and the time of all processes; an actor that was restarted counts once."""
        work: Work = ray.get(self._actor.work.remote())
        return replace(work, peak_bytes={"driver": [peak_bytes()], **work.peak_bytes})


@contextlib.contextmanager
def worker_statistics(on_rows: Callable[[int], None]) -> Iterator[WorkerStatistics]:
    """Yield the handle to a new actor, and call `on_rows` with the scored rows twice a second in the block."""
    statistics, is_over = WorkerStatistics(), threading.Event()

    def poll() -> None:
        while not is_over.wait(_POLL_SECONDS):
            with contextlib.suppress(ray.exceptions.RayError):
                on_rows(statistics.scored_rows())

    thread = threading.Thread(target=poll, daemon=True)
    thread.start()
    try:
        yield statistics
    finally:
        is_over.set()
        thread.join()
