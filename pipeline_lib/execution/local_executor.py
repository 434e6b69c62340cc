"""The steps in this process, one slice after another: for a debugger, and for samples of a few thousand rows."""

import contextlib
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence

from pipeline_lib.engines.inspection.packing_check import packs_on_this_gpu
from pipeline_lib.engines.torch_engine import has_gpu
from pipeline_lib.execution.executor import Listener, Work
from pipeline_lib.execution.steps import Flow, Steps, Worker, receipt_of
from pipeline_lib.inputs.shards import Slice
from pipeline_lib.machine.processes import peak_bytes
from pipeline_lib.planning.discovery import Discovery
from pipeline_lib.planning.plan import Plan
from pipeline_lib.planning.planner import make_plan
from pipeline_lib.planning.resources import Allotment
from pipeline_lib.scoring.bisection import Ledger
from pipeline_lib.storage.records import Receipt


class LocalExecutor:
    """Runs the steps without Ray; the bytes are those that Ray's actors write.

    Args:
        steps: those of the flow.
    """

    def __init__(self, steps: Steps = Steps()) -> None:  # noqa: B008 - a tuple
        self._steps = steps
        self.work = Work()

    @contextlib.contextmanager
    def planned(self, discovery: Discovery, listener: Listener) -> Iterator[Plan]:
        """Yield the plan for this process; see `Executor`."""
        listener.phase("looking at the checkpoint, the output and every shard")
        asked = discovery.settings.tuning.gpus_per_model_actor
        on_gpu = asked > 0 if asked is not None else has_gpu()
        yield make_plan(discovery, "cuda" if on_gpu else "cpu", packs_on_this_gpu)

    def receipts(self, plan: Plan, listener: Listener) -> Iterator[Receipt]:
        """Yield the receipts of the slices that are to be done; see `Executor`."""
        todo = plan.todo
        if not todo:
            return
        monitor, began = _LocalMonitor(listener), time.monotonic()
        threads = plan.computation.threads or 1
        listener.starting(plan, _alone(plan, threads))
        flow = Flow(self._steps, plan, Worker("local", "this machine", threads, 1.0, monitor))
        for part in todo:
            yield receipt_of(flow(part))
        seconds = time.monotonic() - began
        busy = {role: spent / seconds for role, spent in sorted(monitor.seconds.items())}
        self.work = Work({"driver": [peak_bytes()]}, seconds, busy)


def _alone(plan: Plan, threads: int) -> Allotment:
    device = plan.computation.device
    return Allotment(device, 1, threads, float(device == "cuda"), threads, 0, 0.0, 0, 0.0)


class _LocalMonitor:
    """Counts in this process; a row that ends the process ends the run, so the ledger has nothing to tell."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._rows: dict[tuple[int, int], int] = {}
        self._ledger = Ledger()
        self.seconds: dict[str, float] = defaultdict(float)

    @contextlib.contextmanager
    def working(self, role: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.seconds[role] += time.monotonic() - began

    def scoring(self, part: Slice) -> "_Batches":
        return _Batches(self, part)

    def scored(self, part: Slice, rows: int) -> None:
        self._rows[part.shard, part.first_row] = rows
        self._listener.scored(sum(self._rows.values()))

    def say(self, text: str) -> None:
        self._listener.note(text)

    def notes(self, call: str, *arguments: object) -> object:
        return getattr(self._ledger, call)(*arguments)


class _Batches:
    """Reports the rows of a slice as its batches begin."""

    def __init__(self, monitor: _LocalMonitor, part: Slice) -> None:
        self._monitor, self._part = monitor, part
        self._begun, self._batch = 0, 0

    def __call__(self, rows: Sequence[int]) -> None:
        self._begun, self._batch = self._begun + self._batch, len(rows)
        self._monitor.scored(self._part, self._begun)
