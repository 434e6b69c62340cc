"""The steps spread over a cluster by Ray Data, or over the CPUs and GPUs of this machine."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import ray
import ray.data

from pipeline_lib.errors import LostWorkerError
from pipeline_lib.execution.cluster.address import running_cluster
from pipeline_lib.execution.cluster.autoscaling import requested_ahead
from pipeline_lib.execution.cluster.connection import connected, joined_if_running
from pipeline_lib.execution.cluster.devices import check_own_gpus, has_usable_gpus
from pipeline_lib.execution.cluster.failures import failures_explained
from pipeline_lib.execution.cluster.node_check import NewcomerCheck, unlike_nodes_refused
from pipeline_lib.execution.cluster.placement import Note, reserved
from pipeline_lib.execution.engine_agreement import engine_agreed, packs_on_gpus
from pipeline_lib.execution.executor import Listener, Work
from pipeline_lib.execution.ray_stages import receipts_of
from pipeline_lib.execution.steps import StepMaker, Steps
from pipeline_lib.execution.worker import Worker
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
    """

    def __init__(self, steps: Steps = Steps()) -> None:  # noqa: B008 - a tuple
        self._steps = steps
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
            ahead = is_run and not agreed.has_earlier_work
            meanwhile = "; Ray starts meanwhile" if ahead else ""
            listener.phase(f"looking at the checkpoint, the output and every shard{meanwhile}")
            make = partial(_plan, agreed, listener.note, has_ray=ray.is_initialized(), ahead=ahead)
            with connected(make, listener.note) if ahead else contextlib.nullcontext(make()) as plan:
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
            worker_statistics(listener.scored) as statistics,
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
                with (
                    reserved(len(left.todo), tuning, device, listener.note) as room,
                    unlike_nodes_refused(left, room.nodes) as check,
                ):
                    if losses_left == _LOSSES - 1:
                        listener.starting(plan, _in_words(room.allotment))
                    for receipt in receipts_of(left, room, statistics, _checked(self._steps, check)):
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


def _checked(steps: Steps, check: NewcomerCheck) -> Steps:
    """Return steps of which none is made on a machine that has not passed the check."""
    return Steps(*(partial(_made_after, check, make) for make in steps))


def _made_after(check: NewcomerCheck, make: StepMaker, plan: Plan, worker: Worker) -> Any:
    check()
    return make(plan, worker)


def _plan(discovery: Discovery, note: Note, *, has_ray: bool, ahead: bool) -> Plan:
    """Return the plan; if a run follows, a cluster that has to grow for it begins to grow meanwhile."""
    tuning = discovery.settings.tuning
    device = planned_device(tuning, lambda: has_usable_gpus(has_ray=has_ray))
    with requested_ahead(tuning, device) if has_ray and ahead else contextlib.nullcontext(_nothing) as release:
        return make_plan(discovery, device, partial(packs_on_gpus, release, note))


def _nothing() -> None:
    """Release nothing."""
