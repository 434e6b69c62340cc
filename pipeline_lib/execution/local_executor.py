"""The steps in this process, one slice after another: for a debugger, and for samples of a few thousand rows."""

import contextlib
import time
from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator, Sequence

import pyarrow as pa

from pipeline_lib.engines.inspection.packing_check import packs_on_this_gpu
from pipeline_lib.engines.torch_engine import has_gpu
from pipeline_lib.errors import NightscoreError
from pipeline_lib.execution.executor import Listener, Result, Work, only_plan
from pipeline_lib.execution.nights.plan_flows import PlanFlows, shared_steps
from pipeline_lib.execution.nights.slices_left import SlicesLeft
from pipeline_lib.execution.steps import Steps, receipt_of
from pipeline_lib.execution.worker import Worker
from pipeline_lib.inputs.shards import Slice
from pipeline_lib.machine.processes import peak_bytes
from pipeline_lib.planning.discovery import Discovery
from pipeline_lib.planning.night_plans import make_plans
from pipeline_lib.planning.plan import Plan
from pipeline_lib.planning.resources import planned_device
from pipeline_lib.scoring.bisection import Ledger
from pipeline_lib.settings.sections.tuning import Device, TuningSettings
from pipeline_lib.storage.records import Receipt


class LocalExecutor:
    """Runs the steps without Ray; the bytes are those that Ray's actors write.

    Args:
        steps: those of the flow.
    """

    def __init__(self, steps: Steps = Steps()) -> None:  # noqa: B008 - a tuple
        self._steps = steps

    def plan(self, discovery: Discovery, listener: Listener) -> Plan:
        """Return the plan for this process; see `Executor`.

        Raises:
            NightscoreError: as planning does.
        """
        with self.planned([discovery], listener) as plans:
            return only_plan(plans)

    @contextlib.contextmanager
    def planned(
        self, discoveries: Sequence[Discovery], listener: Listener
    ) -> Iterator[list[Plan | NightscoreError]]:
        """Yield the plans for this process; see `Executor`."""
        listener.phase("looking at the checkpoint, the output and every shard")
        yield make_plans(discoveries, _device, packs_on_this_gpu)

    def results(self, plans: Sequence[Plan], listener: Listener) -> Generator[tuple[int, Result], None, None]:
        """Yield what comes of the slices that are to be done; see `Executor`."""
        left = SlicesLeft(plans)
        yield from ((night, Work()) for night in left.without_any)
        if not left.todo:
            return
        parts = [part for some in left.parts().values() for part in some]
        computation = plans[parts[0].night].computation
        listener.starting(left.rows, f"this process, on {computation.device.upper()}")
        monitor = _LocalMonitor(listener)
        worker = Worker("local", "this machine", computation.threads or 1, 1.0, monitor)
        at_a_time = max(part.also.bit_count() + 1 for part in parts)
        flows = PlanFlows(shared_steps(self._steps), left.plans.__getitem__, worker, at_a_time)
        for part in parts:
            numbers = [number for number in part.plans if number in left.todo]  # the others have failed
            monitor.begin(numbers)
            for own, taken in flows(flows.of_plans(part, numbers)) if numbers else ():
                result = _result(taken)
                for number in own.plans:
                    left.take(number, result)
                    yield number, result
                    if isinstance(result, Receipt) and number not in left.todo:
                        yield number, monitor.work(number)


def _result(taken: pa.Table | Exception) -> Receipt | NightscoreError:
    """Return what came of a slice, or raise what is no error of ours."""
    if isinstance(taken, Exception) and not isinstance(taken, NightscoreError):
        raise taken
    return taken if isinstance(taken, NightscoreError) else receipt_of(taken)


class _LocalMonitor:
    """Counts in this process; a row that ends the process ends the run, so its ledger stays empty."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._rows: dict[tuple[int, int, int], int] = {}
        self._seconds: dict[int, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        self._began: dict[int, float] = {}
        self._model_loads = 0
        self.ledger = Ledger()

    def begin(self, plans: Iterable[int]) -> None:
        """Note when work begins, for each plan the first time."""
        for number in plans:
            self._began.setdefault(number, time.monotonic())

    def work(self, plan: int) -> Work:
        """Return what was used for a plan by now."""
        seconds = time.monotonic() - self._began[plan]
        busy = {role: spent / seconds for role, spent in sorted(self._seconds[plan].items())}
        return Work({"driver": [peak_bytes()]}, seconds, busy, self._model_loads)

    def loaded_model(self) -> None:
        self._model_loads += 1

    @contextlib.contextmanager
    def working(self, role: str, part: Slice) -> Iterator[None]:
        began = time.monotonic()
        yield
        self._seconds[part.night][role] += time.monotonic() - began

    def scored(self, part: Slice, rows: int, tokens: int = 0) -> None:
        del tokens
        self._rows[part.key] = rows
        self._listener.scored(sum(self._rows.values()))

    def written(self, part: Slice, receipt: Receipt) -> None:
        pass

    def note(self, text: str) -> None:
        self._listener.note(text)


def _device(tuning: TuningSettings) -> Device:
    return planned_device(tuning, has_gpu)
