"""Scores sampled slices in as many processes at once as a run would have here: they share caches and cores."""

import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from pipeline_lib.engines.torch_engine import gpu_names
from pipeline_lib.errors import FaultError
from pipeline_lib.estimating.sampling.measured_steps import Order
from pipeline_lib.estimating.sampling.sample import Sample, spread
from pipeline_lib.estimating.sampling.sampled_process import run_order
from pipeline_lib.execution.nights.slice_failures import failure_in, failure_table
from pipeline_lib.inputs.shards import Slice
from pipeline_lib.planning.capacity import Allotment, Node
from pipeline_lib.planning.plan import Plan
from pipeline_lib.planning.resources import wanted

DEFAULT_ROWS = 8_192
SECONDS = 20.0
_LENGTH_SECONDS = 4.0
_LONGEST_SECONDS = 1_800.0


@dataclass(frozen=True)
class Here:
    """The actors that a run would have on a machine like this one, and how many of them there is room for."""

    allotment: Allotment
    processes: int
    cores: int


def actors_here(plan: Plan, slices: int, *, local: bool) -> Here:
    """Return the actors of a run on this machine; of one without Ray, one process.

    Args:
        plan: of the run.
        slices: that are left to score.
        local: whether the run works in one process.
    """
    device, cores = plan.computation.device, len(os.sched_getaffinity(0))
    gpus = len(gpu_names()) if device == "cuda" else 0
    tuning = plan.settings.tuning
    if local:
        tuning = tuning.model_copy(update={"model_actors": 1, "tokenizer_actors": None})
        cores = max(plan.computation.threads or 1, 1)
    allotment = wanted([Node(cores, gpus)], slices, tuning, device)
    room = int(gpus / allotment.gpus_per_model_actor) if gpus else cores // allotment.threads_per_model_actor
    return Here(allotment, max(min(allotment.model_actors, room), 1), cores)


def slices_to_score(plan: Plan) -> list[Slice]:
    """Return the slices that a run would score: without those whose published scores are taken over."""
    return [part for part in plan.todo if (part.shard, part.first_row) not in plan.reusable]


def measured(
    plan: Plan, slices: Sequence[Slice], here: Here, rows: int | None, phase: Callable[[str], None]
) -> Sample:
    """Score a sample of some slices; nothing is written to the output.

    Args:
        plan: of the run.
        slices: that are left to score, with a row at least.
        here: how many processes.
        rows: scored at most; None: some thousands, and no slice is begun after twenty seconds.
        phase: told what begins.

    Raises:
        NightscoreError: as the run would; or a process was killed.
    """
    spread_out = spread([part for part in slices if part.rows])
    processes = min(here.processes, len(spread_out))
    phase(f"scoring a sample in {processes} process{'' if processes == 1 else 'es'}")
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(processes)
    children: list[tuple[Any, Connection]] = []
    try:
        for number in range(processes):
            order = Order(
                plan.for_workers(),
                spread_out[number::processes],
                -(-(rows or DEFAULT_ROWS) // processes),
                SECONDS if rows is None else _LONGEST_SECONDS,
                _LENGTH_SECONDS,
                plan.computation.threads,
                here.allotment.gpus_per_model_actor or 1.0,
                number if plan.computation.device == "cuda" else None,
                time.time(),
            )
            answers, theirs = context.Pipe(duplex=False)
            child = context.Process(target=run_order, args=(order, theirs, barrier), daemon=True)
            child.start()
            theirs.close()
            children.append((child, answers))
        parts = _answers([answers for _, answers in children])
    finally:
        for child, _ in children:
            child.kill()
            child.join()
    return Sample.of(parts)


def _answers(connections: Sequence[Connection]) -> list[Any]:
    """Return what all processes measured; where one fails, the others wait for it and have nothing to tell."""
    found: dict[Connection, Any] = {}
    while len(found) < len(connections):
        ready = wait([each for each in connections if each not in found])
        told = {each: _received(each) for each in connections if each in ready}
        for failure in (answer for answer in told.values() if isinstance(answer, str)):
            raise failure_in(failure_table(failure))
        if None in told.values():
            raise FaultError("a process that scored the sample was killed; is there memory for it?")
        found |= told
    return [found[each] for each in connections]


def _received(connection: Connection) -> Any:
    """Return an answer, or None from a process that ended without one."""
    try:
        return connection.recv()
    except EOFError:
        return None
