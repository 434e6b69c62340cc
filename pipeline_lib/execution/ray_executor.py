"""The steps spread over a cluster by Ray Data, or over the CPUs and GPUs of this machine."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pyarrow as pa
import ray
import ray.data
from ray.data import ActorPoolStrategy

from pipeline_lib.errors import DeviceError, LostWorkerError
from pipeline_lib.execution.cluster.address import running_cluster
from pipeline_lib.execution.cluster.connection import connected, joined_if_running
from pipeline_lib.execution.cluster.failures import failures_explained
from pipeline_lib.execution.cluster.node_check import refuse_unlike_nodes
from pipeline_lib.execution.cluster.placement import Room, check_own_gpus, has_usable_gpus, reserved
from pipeline_lib.execution.engine_agreement import engine_agreed, packs_on_gpus
from pipeline_lib.execution.executor import Listener, Work
from pipeline_lib.execution.steps import Flow, Steps, receipt_of
from pipeline_lib.execution.transport import described, grouped, pack, unpack
from pipeline_lib.execution.worker import Worker
from pipeline_lib.execution.worker_statistics import WorkerStatistics, worker_statistics
from pipeline_lib.messages import count
from pipeline_lib.planning.plan import Plan
from pipeline_lib.planning.planner import Discovery, make_plan
from pipeline_lib.planning.resources import Allotment, planned_device
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
    def planned(self, discovery: Discovery, listener: Listener) -> Iterator[Plan]:
        """Yield the plan for the cluster that is there, or for this machine; see `Executor`.

        Raises:
            NightscoreError: as planning does, or since a cluster that is named is none.
        """
        with joined_if_running(listener.note), engine_agreed(discovery) as (agreed, notes):
            for text in notes:
                listener.note(text)
            meanwhile = "" if agreed.published else "; Ray starts meanwhile"
            listener.phase(f"looking at the checkpoint, the output and every shard{meanwhile}")
            plan = partial(_plan, agreed, has_ray=ray.is_initialized())
            # Where something is published there may be nothing to score, and Ray is not needed.
            started = contextlib.nullcontext(plan()) if agreed.published else connected(plan, listener.note)
            with started as found:
                yield found

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
            left = replace(plan, standing=(*plan.standing, *done))
            try:
                with reserved(len(left.todo), tuning, device, listener.note) as room:
                    refuse_unlike_nodes(left, room.nodes)
                    if losses_left == _LOSSES - 1:
                        listener.starting(plan, _in_words(room.allotment))
                    for receipt in _scored(left, room, statistics, self._steps):
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


def _scored(plan: Plan, room: Room, statistics: WorkerStatistics, steps: Steps) -> Iterator[Receipt]:
    """Take slices through the steps; those with the ends of shards come last, so that all actors end together."""
    todo = sorted(plan.todo, key=lambda part: -part.rows)
    if not todo:
        return
    plan_ref = ray.put(plan.for_workers())
    workers = max(room.allotment.model_actors, room.allotment.tokenizer_actors)
    # `from_arrow` would send each block through a task of its own: 45 KiB of the driver's memory and milliseconds.
    data = ray.data.from_blocks([described(*parts) for parts in grouped(todo, workers)])
    for stage in _stages(room, steps):
        data = stage.applied(data, room, plan_ref, statistics)
    with failures_explained():
        for batch in data.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            yield from (receipt_of(unpack(batch.slice(row, 1))[1]) for row in range(len(batch)))


@dataclass(frozen=True)
class _Stage:
    """Steps that run in one pool of actors: slices are packed only on their way to the next."""

    actor: type["_Actor"]
    steps: Sequence[Any]
    number: int
    """Of the room that is kept for its actors."""
    actors: int
    cpus: float
    gpus: float = 0.0
    in_flight: int | None = None

    def applied(self, data: Any, room: Room, plan_ref: Any, statistics: WorkerStatistics) -> Any:
        return data.map_batches(
            self.actor,
            fn_constructor_args=(
                self.steps,
                plan_ref,
                room.allotment.threads_per_model_actor,
                self.gpus,
                statistics,
            ),
            compute=ActorPoolStrategy(size=self.actors, max_tasks_in_flight_per_actor=self.in_flight),
            num_cpus=self.cpus,
            num_gpus=self.gpus,
            scheduling_strategy=room.strategy(self.number),
            # A row of the dataset is a packed slice, so that no step ever sees half a slice or the seam of two.
            batch_size=1,
            batch_format="pyarrow",
        )


def _stages(room: Room, steps: Steps) -> list[_Stage]:
    each = room.allotment
    model = partial(
        _Stage,
        ModelActor,
        number=0,
        actors=each.model_actors,
        cpus=each.cpus_per_model_actor,
        gpus=each.gpus_per_model_actor,
    )
    if each.together:
        # An actor with all steps gets a slice when it is done with one; else one would end late and another idle.
        return [model(steps, in_flight=1)]
    return [
        _Stage(TokenizerActor, [steps.read, steps.tokenize], 1, each.tokenizer_actors, each.cpus_per_tokenizer),
        model([steps.classify]),
        _Stage(WriterActor, [steps.write], 2, each.writers, each.cpus_per_writer),
    ]


class _Actor:
    """A process of Ray's that takes packed slices through its steps."""

    def __init__(
        self, steps: Sequence[Any], plan_ref: Any, threads: int, gpus: float, statistics: WorkerStatistics
    ) -> None:
        name = str(ray.get_runtime_context().get_actor_id())
        place = f"node {ray.util.get_node_ip_address()}"
        self._flow = Flow(steps, ray.get(plan_ref), Worker(name, place, threads, gpus, statistics))

    def __call__(self, batch: pa.Table) -> pa.Table:
        part, table = unpack(batch)
        try:
            return pack(part, self._flow(part, table))
        except DeviceError:
            os._exit(1)  # Ray starts a new process, which can go on; the ledger says how often that was tried


class TokenizerActor(_Actor):
    """A CPU worker that reads slices and tokenizes them."""


class ModelActor(_Actor):
    """A GPU worker with the model, or a CPU worker with all steps."""


class WriterActor(_Actor):
    """A CPU worker that writes what comes out of the model."""
