"""What all workers of a run report, collected in one actor: rows, memory, time at work, notes, and crashes."""

import contextlib
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline_lib.execution.executor import Work
from pipeline_lib.execution.nights.night_work import NightWork, WorkSpan
from pipeline_lib.execution.run_metrics import RunMetrics
from pipeline_lib.inputs.shards import Slice
from pipeline_lib.machine.processes import peak_bytes
from pipeline_lib.scoring.bisection import CrashHistory, Ledger, TextDigest
from pipeline_lib.storage.records import Receipt

_POLL_SECONDS = 0.5


class _StatisticsActor(Ledger):
    """The actor that holds the statistics and the ledger. If it is lost, no work is lost: both start anew."""

    def __init__(self, job: str) -> None:
        super().__init__()
        self._metrics = RunMetrics(job)
        self._rows: dict[tuple[int, int, int], int] = {}
        self._nights: dict[int, NightWork] = defaultdict(NightWork)
        self._all_nights = NightWork()
        self._failures: dict[int, str] = {}
        self._model_loads = 0
        self._notes: dict[str, None] = {}

    def planned(self, rows: int) -> None:
        self._metrics.planned(rows)

    def scored(self, part: tuple[int, int, int], rows: int, tokens: int, node: str) -> None:
        self._rows[part] = rows
        self._nights[part[0]].scored(part, rows, node)
        self._metrics.scored(part, rows, tokens)

    def written(self, part: tuple[int, int, int], reject_codes: dict[str, int]) -> None:
        self._metrics.written(part, reject_codes)

    def loaded_model(self) -> None:
        self._model_loads += 1

    def worked(self, night: int, span: WorkSpan) -> None:
        self._nights[night].add(span)
        self._all_nights.add(span)

    def give_up(self, night: int, failure: str) -> None:
        self._failures.setdefault(night, failure)

    def failure_of(self, night: int) -> str:
        return self._failures.get(night, "")

    def note(self, text: str) -> None:
        self._notes[text] = None

    def scored_rows(self) -> int:
        self._metrics.refresh(self._all_nights.work().busy)  # the driver asks twice a second
        return sum(self._rows.values())

    def notes(self) -> list[str]:
        return list(self._notes)

    def work(self, night: int) -> Work:
        return replace(self._nights[night].work(), model_loads=self._model_loads)


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
    """The handle to the actor: a worker's `Monitor`, and the driver's view of all workers.

    Args:
        job: the job's name in Ray's metrics.
    """

    def __init__(self, job: str = "") -> None:
        # On the driver's node, so that the actor lives as long as the run, whatever other machine is lost.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        options = {"num_cpus": 0, "max_restarts": -1, "max_task_retries": -1, "scheduling_strategy": here}
        # Ray lets any machine place an actor that needs nothing, also a new one that does not know this node
        # yet and then keeps it. One that needs a little memory is placed by this node.
        options["memory"] = 1 << 20
        self._actor: Any = ray.remote(_StatisticsActor).options(**options).remote(job)
        self.ledger = _RemoteLedger(self._actor)

    def planned(self, rows: int) -> None:
        """Tell how many rows the run has to score."""
        self._actor.planned.remote(rows)

    def scored(self, part: Slice, rows: int, tokens: int = 0) -> None:
        """See `Monitor`."""
        node = f"{ray.util.get_node_ip_address()} {ray.get_runtime_context().get_node_id()}"
        self._actor.scored.remote(part.key, rows, tokens, node)

    def written(self, part: Slice, receipt: Receipt) -> None:
        """See `Monitor`."""
        if receipt.reject_codes:
            self._actor.written.remote(part.key, receipt.reject_codes)

    def loaded_model(self) -> None:
        """See `Monitor`."""
        self._actor.loaded_model.remote()

    @contextlib.contextmanager
    def working(self, role: str, part: Slice) -> Iterator[None]:
        """See `Monitor`."""
        began = time.time()  # the one clock that machines share
        yield
        actor = str(ray.get_runtime_context().get_actor_id())
        self._actor.worked.remote(part.night, WorkSpan(role, actor, peak_bytes(), began, time.time()))

    def give_up(self, night: int, failure: str) -> None:
        """Note why a night failed, so that all workers pass over its other slices."""
        self._actor.give_up.remote(night, failure)

    def failure_of(self, night: int) -> str:
        """Return why a night failed, or nothing."""
        return str(ray.get(self._actor.failure_of.remote(night)))

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

    def work(self, night: int) -> Work:
        """Return what all processes used for a night; an actor that was restarted counts once."""
        work: Work = ray.get(self._actor.work.remote(night))
        return replace(work, peak_bytes={"driver": [peak_bytes()], **work.peak_bytes})


@contextlib.contextmanager
def worker_statistics(on_rows: Callable[[int], None], job: str = "") -> Iterator[WorkerStatistics]:
    """Yield the handle to a new actor, and call `on_rows` with the scored rows twice a second in the block."""
    statistics, is_over = WorkerStatistics(job), threading.Event()

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
