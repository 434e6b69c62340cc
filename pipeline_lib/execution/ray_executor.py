"""The steps spread over a cluster by Ray Data, or over the CPUs and GPUs of this machine."""

import contextlib
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import ray
import ray.data

from pipeline_lib.errors import LostWorkerError, NightscoreError
from pipeline_lib.execution.cluster.address import running_cluster
from pipeline_lib.execution.cluster.autoscaling import requested_ahead
from pipeline_lib.execution.cluster.connection import connected, joined_if_running
from pipeline_lib.execution.cluster.devices import check_own_gpus, has_usable_gpus
from pipeline_lib.execution.cluster.failures import failures_explained
from pipeline_lib.execution.cluster.losses import reserved_again, unless_stuck
from pipeline_lib.execution.cluster.node_check import NewcomerCheck, unlike_nodes_refused
from pipeline_lib.execution.cluster.placement import Note, reserved
from pipeline_lib.execution.engine_agreement import engine_agreed, packs_on_gpus
from pipeline_lib.execution.executor import Listener, Result, Work, only_plan
from pipeline_lib.execution.nights.slices_left import SlicesLeft
from pipeline_lib.execution.ray_stages import Workers, results_of
from pipeline_lib.execution.steps import StepMaker, Steps
from pipeline_lib.execution.worker import Worker
from pipeline_lib.execution.worker_statistics import worker_statistics
from pipeline_lib.messages import count
from pipeline_lib.planning.capacity import Allotment
from pipeline_lib.planning.discovery import Discovery
from pipeline_lib.planning.night_plans import make_plans
from pipeline_lib.planning.plan import Plan
from pipeline_lib.planning.resources import planned_device
from pipeline_lib.settings.sections.tuning import Device, TuningSettings
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

    def plan(self, discovery: Discovery, listener: Listener) -> Plan:
        """Return the plan for the cluster that is there, or for this machine; see `Executor`.

        Raises:
            NightscoreError: as planning does, or since a cluster that is named is none.
        """
        with self._planned([discovery], listener, starts_ray=False) as plans:
            return only_plan(plans)

    @contextlib.contextmanager
    def planned(
        self, discoveries: Sequence[Discovery], listener: Listener
    ) -> Iterator[list[Plan | NightscoreError]]:
        """Yield the plans for the cluster that is there, or for this machine; see `Executor`.

        Raises:
            NightscoreError: a cluster that is named is none.
        """
        # Where earlier work exists there may be nothing to score, and Ray would start for nothing.
        starts_ray = not all(discovery.has_earlier_work for discovery in discoveries)
        with self._planned(discoveries, listener, starts_ray=starts_ray) as plans:
            yield plans

    @contextlib.contextmanager
    def _planned(
        self, discoveries: Sequence[Discovery], listener: Listener, *, starts_ray: bool
    ) -> Iterator[list[Plan | NightscoreError]]:
        with joined_if_running(listener.note), engine_agreed(discoveries) as (agreed, notes):
            for text in notes:
                listener.note(text)
            meanwhile = "; Ray starts meanwhile" if starts_ray else ""
            listener.phase(f"looking at the checkpoint, the output and every shard{meanwhile}")
            make = partial(_made_plans, agreed, listener.note, has_ray=ray.is_initialized(), ahead=starts_ray)
            with connected(make, listener.note) if starts_ray else contextlib.nullcontext(make()) as plans:
                yield plans

    def results(self, plans: Sequence[Plan], listener: Listener) -> Generator[tuple[int, Result], None, None]:
        """Yield what comes of the slices that are to be done, also through the loss of a machine; see `Executor`.

        Raises:
            NightscoreError: see `errors`.
        """
        left = SlicesLeft(plans)
        yield from ((night, Work()) for night in left.without_any)
        if not left.todo:
            return
        if not ray.is_initialized():
            listener.phase("starting Ray, or connecting to one")
        with (
            failures_explained(),
            connected(lambda: None, listener.note),
            worker_statistics(listener.scored, self._job) as statistics,
        ):
            workers = Workers(self._steps, statistics)
            statistics.planned(left.rows)
            for night, result in _through_losses(left, workers, listener):
                yield night, result
                if isinstance(result, Receipt) and night not in left.todo:
                    yield night, statistics.work(night)
            for text in statistics.notes():
                listener.note(text)


def _through_losses(
    left: SlicesLeft, workers: Workers, listener: Listener
) -> Iterator[tuple[int, Receipt | NightscoreError]]:
    """Yield the results that are new, until no slice is left; what came before a loss counts."""
    any_plan = left.plans[next(iter(left.todo))]
    tuning, device = any_plan.settings.tuning, any_plan.computation.device
    if running_cluster() is None:
        check_own_gpus(tuning, listener.note)
    for losses_left in reversed(range(_LOSSES)):
        is_first, slices = losses_left == _LOSSES - 1, sum(map(len, left.parts().values()))
        try:
            with (
                (reserved if is_first else reserved_again)(slices, tuning, device, listener.note) as room,
                unlike_nodes_refused([left.plans[night] for night in left.todo], room.nodes) as check,
            ):
                if is_first:
                    listener.starting(left.rows, _in_words(room.allotment))
                checked = replace(workers, steps=_checked(workers.steps, check))
                results = unless_stuck(results_of(left, room, checked), room)
                yield from ((night, result) for night, result in results if left.take(night, result))
            break
        except LostWorkerError as error:
            if not losses_left:
                raise
            if not left.todo:
                break
            listener.note(f"{error}; going on with what is left")


def _checked(steps: Steps, check: NewcomerCheck) -> Steps:
    """Return steps of which none is made on a machine that has not passed the check."""
    return Steps(*(partial(_made_after, check, make) for make in steps))


def _made_after(check: NewcomerCheck, make: StepMaker, plan: Plan, worker: Worker) -> Any:
    check()
    return make(plan, worker)


def _in_words(each: Allotment) -> str:
    beside = "" if each.together else f", {count(each.tokenizer_actors, 'tokenizer')}"
    return f"{count(each.model_actors, 'model actor')}{beside}, on {each.device.upper()}"


def _made_plans(
    discoveries: Sequence[Discovery], note: Note, *, has_ray: bool, ahead: bool
) -> list[Plan | NightscoreError]:
    """Return the plans; if a run follows, a cluster that has to grow for it begins to grow meanwhile."""
    with contextlib.ExitStack() as request:

        def device(tuning: TuningSettings) -> Device:
            planned = planned_device(tuning, lambda: has_usable_gpus(has_ray=has_ray))
            if has_ray and ahead:
                request.enter_context(requested_ahead(tuning, planned))
            return planned

        return make_plans(discoveries, device, partial(packs_on_gpus, request.close, note))
