"""The steps in this process, one slice after another: for a debugger, and for samples of a few thousand rows."""

import contextlib
import time
from collections import defaultdict
from collections.abc import Iterator

from pipeline_lib.engines.inspection.packing_check import packs_on_this_gpu
from pipeline_lib.engines.torch_engine import has_gpu
from pipeline_lib.execution.executor import Listener, Work
from pipeline_lib.execution.steps import Flow, Steps, receipt_of
from pipeline_lib.execution.worker import Worker
from pipeline_lib.inputs.shards import Slice
from pipeline_lib.machine.processes import peak_bytes
from pipeline_lib.planning.discovery import Discovery
from pipeline_lib.planning.plan import Plan
from pipeline_lib.planning.planner import make_plan
from pipeline_lib.planning.resources import planned_device
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
    def planned(self, discovery: Discovery, listener: Listener, *, is_run: bool) -> Iterator[Plan]:
        """Yield the plan for this process; see `Executor`."""
        del is_run
        listener.phase("looking at the checkpoint, the output and every shard")
        yield make_plan(discovery, planned_device(discovery.settings.tuning, has_gpu), packs_on_this_gpu)

    def receipts(self, plan: Plan, listener: Listener) -> Iterator[Receipt]:
        """Yield the receipts of the slices that are to be done; see `Executor`."""
        todo = plan.todo
        if not todo:
            return
        monitor, began = _LocalMonitor(listener), time.monotonic()
        listener.starting(plan, f"this process, on {plan.computation.device.upper()}")
        flow = Flow(self._steps, plan, Worker("local", "this machine", plan.computation.threads or 1, 1.0, monitor))
        for part in todo:
            yield receipt_of(flow(part))
        seconds = time.monotonic() - began
        busy = {role: spent / seconds for role, spent in sorted(monitor.seconds.items())}
        self.work = Work({"driver": [peak_bytes()]}, seconds, busy)


class _LocalMonitor:
    """Counts in this process; a row that ends the process ends the run, so its ledger stays empty."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._rows: dict[tuple[int, int], int] = {}
        self.ledger = Ledger()
        self.seconds: dict[str, float] = defaultdict(float)

    @contextlib.contextmanager
    def working(self, role: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.seconds[role] += time.monotonic() - began

    def scored(self, part: Slice, rows: int, tokens: int = 0) -> None:
        del tokens
        self._rows[part.shard, part.first_row] = rows
        self._listener.scored(sum(self._rows.values()))

    def written(self, part: Slice, receipt: Receipt) -> None:
        pass

    def note(self, text: str) -> None:
        self._listener.note(text)
