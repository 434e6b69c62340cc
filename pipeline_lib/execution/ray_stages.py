"""The steps as stages of a Ray dataset: each stage is a pool of actors; slices are packed between stages."""

import contextlib
import os
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
import ray
import ray.data
from ray.data import ActorPoolStrategy

from pipeline_lib.errors import DeviceError, NightscoreError
from pipeline_lib.execution.cluster.failures import failures_explained
from pipeline_lib.execution.cluster.placement import Room
from pipeline_lib.execution.nights.plan_flows import PlanFlows, SharedStep, shared_steps
from pipeline_lib.execution.nights.runs_to_read import limit_what_waits, reader_actors, runs_to_read
from pipeline_lib.execution.nights.slice_failures import failure_in, failure_table, failure_text, is_failure
from pipeline_lib.execution.nights.slices_left import SlicesLeft
from pipeline_lib.execution.steps import Steps, receipt_of
from pipeline_lib.execution.transport import groups_of, pack, slice_rows, unpack
from pipeline_lib.execution.worker import Worker
from pipeline_lib.execution.worker_statistics import WorkerStatistics
from pipeline_lib.inputs.shards import Slice
from pipeline_lib.storage.records import Receipt


@dataclass(frozen=True)
class Workers:
    """What all actors of a run have in common."""

    steps: Steps
    statistics: WorkerStatistics


@dataclass(frozen=True)
class _Plans:
    """The plans that actors work on, as they find them."""

    refs: dict[int, Any]
    """By the number of the plan."""
    first: Sequence[int]
    """Plans whose models are loaded at once."""
    at_a_time: int
    """Plans whose slices come by turns: of two nights, where one ends and the next begins."""


def results_of(left: SlicesLeft, room: Room, workers: Workers) -> Generator[tuple[int, Receipt | NightscoreError]]:
    """Take slices through the steps on the room's actors; yield the receipt of each, or why its plan failed.

    Plans are worked on in their order. In each, short slices, the last ones of shards, come last, so that all
    actors end together.

    Args:
        left: the slices that are to be done.
        room: for the actors.
        workers: what the actors do, and where they report to.
    """
    plans, todo = left.plans, left.parts()
    most = max(part.also.bit_count() + 1 for parts in todo.values() for part in parts)
    refs = {number: ray.put(plans[number].for_workers()) for number in left.todo}
    at_hand = _Plans(refs, next(iter(todo.values()))[0].plans, 2 * most)
    at_work = room.allotment.tokenizer_actors or room.allotment.model_actors
    runs = runs_to_read(todo, plans)
    readers = reader_actors(runs, plans, at_work)
    if not readers:
        parts = [part for night in todo.values() for part in sorted(night, key=lambda part: -part.rows)]
        runs = list(groups_of(parts, at_work))
    # `from_arrow` would send each block through a task of its own: 45 KiB of the driver's memory and milliseconds.
    data = ray.data.from_blocks([slice_rows(*run) for run in runs])
    if readers:
        limit_what_waits(data.context, room.allotment.device, at_work)
    for stage in _stages(room, workers.steps, readers):
        data = stage.applied(data, room, at_hand, workers.statistics)
    with failures_explained():
        for batch in data.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            for row in range(len(batch)):
                part, table = unpack(batch.slice(row, 1))
                for number in part.plans:
                    yield number, failure_in(table) if is_failure(table) else receipt_of(table)


@dataclass(frozen=True)
class _Stage:
    """Steps that run in one pool of actors."""

    actor: type["_Actor"]
    steps: Sequence[SharedStep]
    number: int
    """Of the room that is kept for its actors."""
    actors: int
    cpus: float
    gpus: float = 0.0
    in_flight: int | None = None
    slices_per_call: int | None = 1
    """None: all of a block."""

    def applied(self, data: Any, room: Room, plans: _Plans, statistics: WorkerStatistics) -> Any:
        return data.map_batches(
            self.actor,
            fn_constructor_args=(
                self.steps,
                plans,
                room.allotment.threads_per_model_actor,
                self.gpus,
                statistics,
            ),
            compute=ActorPoolStrategy(size=self.actors, max_tasks_in_flight_per_actor=self.in_flight),
            num_cpus=self.cpus,
            num_gpus=self.gpus,
            scheduling_strategy=room.strategy(self.number),
            # A row of the dataset is a packed slice, so that no step ever sees half a slice or the seam of two.
            batch_size=self.slices_per_call,
            batch_format="pyarrow",
        )


def _stages(room: Room, steps: Steps, readers: int) -> list[_Stage]:
    each, (read_step, tokenize, classify, write) = room.allotment, shared_steps(steps)
    read = [read_step]
    first = []
    if readers:
        # They are idle most of the time, so that they share the CPUs of those that they read for.
        room_of = 0 if each.together else 1
        first = [_Stage(ReaderActor, read, room_of, readers, cpus=0, in_flight=1, slices_per_call=None)]
        read = []
    model = partial(
        _Stage,
        ModelActor,
        number=0,
        actors=each.model_actors,
        cpus=each.cpus_per_model_actor,
        gpus=each.gpus_per_model_actor,
    )
    if each.together:
        # An actor with all steps gets one slice at a time; with more, one would end late while another is idle.
        return [*first, model([*read, tokenize, classify, write], in_flight=1)]
    return [
        *first,
        _Stage(TokenizerActor, [*read, tokenize], 1, each.tokenizer_actors, each.cpus_per_tokenizer),
        model([classify]),
        _Stage(WriterActor, [write], 2, each.writers, each.cpus_per_writer),
    ]


class _Actor:
    """A process of Ray that takes packed slices through its steps.

    Where there are several plans, an error ends the one that it belongs to: it travels in the slice's place.
    """

    def __init__(
        self, steps: Sequence[SharedStep], plans: _Plans, threads: int, gpus: float, statistics: WorkerStatistics
    ) -> None:
        name = str(ray.get_runtime_context().get_actor_id())
        place = f"node {ray.util.get_node_ip_address()}"
        worker = Worker(name, place, threads, gpus, statistics)
        self._flows = PlanFlows(steps, lambda number: ray.get(plans.refs[number]), worker, plans.at_a_time)
        self._is_one_plan, self._statistics = len(plans.refs) == 1, statistics
        # A model that can't be loaded is tried again at the first slice, where it ends its own plan alone.
        with contextlib.nullcontext() if self._is_one_plan else contextlib.suppress(NightscoreError):
            self._flows.load(plans.first)

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        """Yield packed slices after the steps, each as soon as it is done."""
        for row in range(len(batch)):
            yield from self._taken(batch.slice(row, 1))

    def _taken(self, batch: pa.Table) -> Iterator[pa.Table]:
        part, table = unpack(batch)
        if is_failure(table):
            yield batch
            return
        for some, failure in self._without_failed(part):
            if failure:
                yield pack(some, failure_table(failure))
                continue
            for own, result in self._flows(some, table):
                is_error = isinstance(result, Exception)
                yield pack(own, failure_table(self._failed(own, result)) if is_error else result)

    def _without_failed(self, part: Slice) -> Iterator[tuple[Slice, str]]:
        """Yield a slice for the plans that have not failed, and apart for each plan that has, with the reason."""
        if self._is_one_plan:
            yield part, ""
            return
        failures = {number: self._statistics.failure_of(number) for number in part.plans}
        for number in (number for number, failure in failures.items() if failure):
            yield self._flows.of_plans(part, [number]), failures[number]
        if going_on := [number for number, failure in failures.items() if not failure]:
            yield self._flows.of_plans(part, going_on), ""

    def _failed(self, part: Slice, error: Exception) -> str:
        """Return an error as text, after it is noted that all plans of the slice have failed."""
        if isinstance(error, DeviceError):
            os._exit(1)  # Ray starts a new process, which can go on; the ledger counts how often
        if self._is_one_plan or isinstance(error, ray.exceptions.RayError):  # the cluster failed, not the plan
            raise error
        failure = failure_text(error)
        for number in part.plans:
            self._statistics.give_up(number, failure)
        return failure


class ReaderActor(_Actor):
    """A CPU worker that reads runs of slices for the others."""


class TokenizerActor(_Actor):
    """A CPU worker that tokenizes slices, and reads them where no other does."""


class ModelActor(_Actor):
    """A GPU worker with the model, or a CPU worker with all steps."""


class WriterActor(_Actor):
    """A CPU worker that writes what comes out of the model."""
