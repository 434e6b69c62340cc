"""The steps spread over a cluster by Ray Data, or over the CPUs and GPUs of this machine."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import ray
import ray.data

from pipeline_lib.errors import LostWorkerError
from pipeline_lib.execution.cluster.address import running_cluster
from pipeline_lib.execution.cluster.connection import connected, joined_if_running
from pipeline_lib.execution.cluster.devices import check_own_gpus, has_usable_gpus
from pipeline_lib.execution.cluster.failures import failures_explained
from pipeline_lib.execution.cluster.node_check import refuse_unlike_nodes
from pipeline_lib.execution.cluster.placement import reserved
from pipeline_lib.execution.engine_agreement import engine_agreed, packs_on_gpus
from pipeline_lib.execution.executor import Listener, Work
from pipeline_lib.execution.ray_stages import receipts_of
from pipeline_lib.execution.steps import Steps
from pipeline_lib.execution.worker_statistics import WorkerStatistics, worker_statistics
from pipeline_lib.messages import count
from pipeline_lib.planning.capacity import Allotment
from pipeline_lib.planning.discovery import Discovery
from pipeline_lib.planning.plan import Plan
from pipeline_lib.planning.planner import make_plan
from pipeline_lib.planning.resources import planned_device
from pipeline_lib.storage.records import Receipt

# A machine may be lost now and then; one loss after another is a fault of the cluster.
_LOSSES = 3


class RayExecutor:
    """Runs the steps in Ray's actors; a model has an actor, and on GPUs tokenizers and writers have theirs.

    Args:
        steps: those of the flow.
        job: the job's name in Ray's metrics.
    """

    def __init__(self, steps: Steps = Steps(), job: str = "") -> None:  # noqa: B008 - a tuple
        self._steps, self._job = steps, job
        self.work = Work()

    @contextlib.contextmanager
    def planned(self, discovery: Discovery, listener: Listener, *, is_run: bool) -> Iterator[Plan]:
        """Yield the plan for the cluster that is there, or for this machine; see `Executor`.

        Raises:
            NightscoreError: as planning does, or since a cluster that is named is none.
        """
        with joined_if_running(listener.note), engine_agreed(discovery) as (agreed, notes):
            for text in notes:
                listener.note(text)
            # Where earlier work exists there may be nothing to score, and Ray would start for nothing.
            starts_ray = is_run and not agreed.has_earlier_work
            meanwhile = "; Ray starts meanwhile" if starts_ray else ""
            listener.phase(f"looking at the checkpoint, the output and every shard{meanwhile}")
            make = partial(_plan, agreed, has_ray=ray.is_initialized())
            with connected(make, listener.note) if starts_ray else contextlib.nullcontext(make()) as plan:
                yield plan

    def receipts(self, plan: Plan, listener: Listener) -> Iterator[Receipt]:
        """Yield the receipts of the slices that are to be done, also through the loss of a machine.

        Raises:
            NightscoreError: see `errors`.
        """
        if not plan.todo:
            return
        if not ray.is_initialized():
            listener.phase("starting Ray, or connecting to one")
        with (
            failures_explained(),
            connected(lambda: None, listener.note),
            worker_statistics(listener.scored, self._job) as statistics,
        ):
            yield from self._through_losses(plan, listener, statistics)
            for text in statistics.notes():
                listener.note(text)
            self.work = statistics.work()

    def _through_losses(self, plan: Plan, listener: Listener, statistics: WorkerStatistics) -> Iterator[Receipt]:
        tuning, device = plan.settings.tuning, plan.computation.device
        if running_cluster() is None:
            check_own_gpus(tuning, listener.note)
        done: list[Receipt] = []
        for losses_left in reversed(range(_LOSSES)):
            left = replace(plan, finished=(*plan.finished, *done))
            try:
                with reserved(len(left.todo), tuning, device, listener.note) as room:
                    refuse_unlike_nodes(left, room.nodes)
                    if losses_left == _LOSSES - 1:
                        listener.starting(plan, _in_words(room.allotment))
                        statistics.planned(sum(part.rows for part in left.todo))
                    for receipt in receipts_of(left, room, statistics, self._steps):
                        done.append(receipt)  # what was yielded before a loss counts
                        yield receipt
                break
            except LostWorkerError as error:
                if not losses_left:
                    raise
                listener.note(f"{error}; going on with what is left")


def _in_words(each: Allotment) -> str:
    beside = "" if each.together else f", {count(each.tokenizer_actors, 'tokenizer')}"
    return f"{count(each.model_actors, 'model actor')}{beside}, on {each.device.upper()}"


def _plan(discovery: Discovery, *, has_ray: bool) -> Plan:
    device = planned_device(discovery.settings.tuning, lambda: has_usable_gpus(has_ray=has_ray))
    return make_plan(discovery, device, packs_on_gpus)
