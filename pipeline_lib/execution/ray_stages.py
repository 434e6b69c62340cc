"""The steps as stages of a Ray dataset: each stage is a pool of actors; slices are packed between stages."""

import os
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import pyarrow as pa
import ray
import ray.data
from ray.data import ActorPoolStrategy

from pipeline_lib.errors import DeviceError, NightscoreError
from pipeline_lib.execution.cluster.failures import failures_explained
from pipeline_lib.execution.cluster.placement import Room
from pipeline_lib.execution.nights.night_flows import NightFlows, keeping_what_is_loaded
from pipeline_lib.execution.nights.runs_to_read import limit_what_waits, reader_actors, runs_to_read
from pipeline_lib.execution.nights.slice_failures import failure_in, failure_table, failure_text, is_failure
from pipeline_lib.execution.steps import Steps, receipt_of
from pipeline_lib.execution.transport import groups_of, pack, slice_rows, unpack
from pipeline_lib.execution.worker import Worker
from pipeline_lib.execution.worker_statistics import WorkerStatistics
from pipeline_lib.inputs.shards import Slice
from pipeline_lib.planning.plan import Plan
from pipeline_lib.storage.records import Receipt


@dataclass(frozen=True)
class Workers:
    """What all actors of a run have in common."""

    steps: Steps
    statistics: WorkerStatistics


def results_of(
    todo: Mapping[int, Collection[Slice]], plans: Sequence[Plan], room: Room, workers: Workers
) -> Generator[tuple[int, Receipt | NightscoreError]]:
    """Take slices through the steps on the room's actors; yield the receipt of each, or why its night failed.

    Nights are worked on in their order. In each, short slices, the last ones of shards, come last, so that all
    actors end together.

    Args:
        todo: the slices that are left, by the number of their night.
        plans: of all nights.
        room: for the actors.
        workers: what the actors do, and where they report to.
    """
    plan_refs = {night: ray.put(plans[night].for_workers()) for night in todo}
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
        data = stage.applied(data, room, plan_refs, workers.statistics)
    with failures_explained():
        for batch in data.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            for row in range(len(batch)):
                part, table = unpack(batch.slice(row, 1))
                yield part.night, failure_in(table) if is_failure(table) else receipt_of(table)


@dataclass(frozen=True)
class _Stage:
    """Steps that run in one pool of actors."""

    actor: type["_Actor"]
    steps: Sequence[Any]
    number: int
    """Of the room that is kept for its actors."""
    actors: int
    cpus: float
    gpus: float = 0.0
    in_flight: int | None = None
    slices_per_call: int | None = 1
    """None: all of a block."""

    def applied(self, data: Any, room: Room, plan_refs: dict[int, Any], statistics: WorkerStatistics) -> Any:
        return data.map_batches(
            self.actor,
            fn_constructor_args=(
                self.steps,
                plan_refs,
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
    each, steps = room.allotment, keeping_what_is_loaded(steps)
    read = [steps.read]
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
        return [*first, model([*read, *steps[1:]], in_flight=1)]
    return [
        *first,
        _Stage(TokenizerActor, [*read, steps.tokenize], 1, each.tokenizer_actors, each.cpus_per_tokenizer),
        model([steps.classify]),
        _Stage(WriterActor, [steps.write], 2, each.writers, each.cpus_per_writer),
    ]


class _Actor:
    """A process of Ray that takes packed slices through its steps.

    Where several nights are worked on, an error ends the night that it belongs to: it travels in the slice's place.
    """

    def __init__(
        self,
        steps: Sequence[Any],
        plan_refs: dict[int, Any],
        threads: int,
        gpus: float,
        statistics: WorkerStatistics,
    ) -> None:
        name = str(ray.get_runtime_context().get_actor_id())
        place = f"node {ray.util.get_node_ip_address()}"
        worker = Worker(name, place, threads, gpus, statistics)
        # Of two nights: where one ends and the next begins, slices of both come by turns.
        plan_of = lru_cache(2)(lambda night: ray.get(plan_refs[night]))
        self._flow = NightFlows(steps, plan_of, worker, next(iter(plan_refs)))
        self._is_one_night, self._statistics = len(plan_refs) == 1, statistics

    def __call__(self, batch: pa.Table) -> Any:
        """Return a packed slice after the steps."""
        return self._taken(batch)

    def _taken(self, batch: pa.Table) -> pa.Table:
        part, table = unpack(batch)
        if is_failure(table):
            return batch
        failure = "" if self._is_one_night else self._statistics.failure_of(part.night)
        if failure:
            return pack(part, failure_table(failure))
        try:
            return pack(part, self._flow(part, table))
        except DeviceError:
            os._exit(1)  # Ray starts a new process, which can go on; the ledger counts how often
        except ray.exceptions.RayError:
            raise  # the cluster failed, not the night
        except Exception as error:
            if self._is_one_night:
                raise
            failure = failure_text(error)
        self._statistics.give_up(part.night, failure)
        return pack(part, failure_table(failure))


class ReaderActor(_Actor):
    """A CPU worker that reads runs of slices for the others."""

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        """Yield the slices of a run, each as soon as it is read."""
        for row in range(len(batch)):
            yield self._taken(batch.slice(row, 1))


class TokenizerActor(_Actor):
    """A CPU worker that tokenizes slices, and reads them where no other does."""


class ModelActor(_Actor):
    """A GPU worker with the model, or a CPU worker with all steps."""


class WriterActor(_Actor):
    """A CPU worker that writes what comes out of the model."""
