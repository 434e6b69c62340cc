"""The steps as stages of a Ray dataset: each stage is a pool of actors; slices are packed between stages."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
import ray
import ray.data
from ray.data import ActorPoolStrategy

from pipeline_lib.errors import DeviceError
from pipeline_lib.execution.cluster.failures import failures_explained
from pipeline_lib.execution.cluster.placement import Room
from pipeline_lib.execution.steps import Flow, Steps, receipt_of
from pipeline_lib.execution.transport import groups_of, pack, slice_rows, unpack
from pipeline_lib.execution.worker import Worker
from pipeline_lib.execution.worker_statistics import WorkerStatistics
from pipeline_lib.planning.plan import Plan
from pipeline_lib.storage.records import Receipt


def receipts_of(plan: Plan, room: Room, statistics: WorkerStatistics, steps: Steps) -> Iterator[Receipt]:
    """Take the plan's slices through the steps on the room's actors, and yield their receipts.

    Short slices, the last ones of shards, come last, so that all actors end together.
    """
    todo = sorted(plan.todo, key=lambda part: -part.rows)
    if not todo:
        return
    plan_ref = ray.put(plan.for_workers())
    workers = max(room.allotment.model_actors, room.allotment.tokenizer_actors)
    # `from_arrow` would send each block through a task of its own: 45 KiB of the driver's memory and milliseconds.
    data = ray.data.from_blocks([slice_rows(*parts) for parts in groups_of(todo, workers)])
    for stage in _stages(room, steps):
        data = stage.applied(data, room, plan_ref, statistics)
    with failures_explained():
        for batch in data.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            yield from (receipt_of(unpack(batch.slice(row, 1))[1]) for row in range(len(batch)))


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
        # An actor with all steps gets one slice at a time; with more, one would end late while another is idle.
        return [model(steps, in_flight=1)]
    return [
        _Stage(TokenizerActor, [steps.read, steps.tokenize], 1, each.tokenizer_actors, each.cpus_per_tokenizer),
        model([steps.classify]),
        _Stage(WriterActor, [steps.write], 2, each.writers, each.cpus_per_writer),
    ]


class _Actor:
    """A process of Ray that takes packed slices through its steps."""

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
            os._exit(1)  # Ray starts a new process, which can go on; the ledger counts how often


class TokenizerActor(_Actor):
    """A CPU worker that reads slices and tokenizes them."""


class ModelActor(_Actor):
    """A GPU worker with the model, or a CPU worker with all steps."""


class WriterActor(_Actor):
    """A CPU worker that writes what comes out of the model."""
