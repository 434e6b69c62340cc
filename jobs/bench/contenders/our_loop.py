"""Our own tokenizer, engine and scores in a bare loop, without Ray and files."""

import math
import multiprocessing
import time
from multiprocessing.synchronize import Barrier
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.bench.contenders.task import ROWS_PER_SLICE_ON_GPU, Task, Timed


def bare_loop(task: Task) -> Timed:
    """Run our tokenizer, engine and scores in a loop: one process per CPU, without Ray and files.

    On a GPU only the engine and the scores are timed, since in a job the CPUs tokenize meanwhile.
    """
    return _on_gpu(task) if task.device == "cuda" else _on_cpus(task)


def _on_gpu(task: Task) -> Timed:
    from pipeline_lib import Scorer

    scorer = Scorer({"model": _model(task)}, task.device)
    table = pq.read_table(task.texts)
    starts = range(0, table.num_rows, ROWS_PER_SLICE_ON_GPU)
    slices = [scorer.tokenized(table.slice(start, ROWS_PER_SLICE_ON_GPU)) for start in starts]
    scorer.classified(slices[0])
    began = time.perf_counter()
    scored = [scorer.classified(part) for part in slices]
    seconds = time.perf_counter() - began
    pq.write_table(pa.concat_tables(scored), task.answers)
    return Timed(seconds)


def _on_cpus(task: Task) -> Timed:
    from pipeline_lib.settings.sections.tuning import TuningSettings

    actors = task.cpus
    table = pq.read_table(task.texts)
    rows = min(TuningSettings().rows_per_slice, math.ceil(table.num_rows / actors))
    slices = [table.slice(at, rows) for at in range(0, table.num_rows, rows)]
    context = multiprocessing.get_context("spawn")
    ready, todo, done = context.Barrier(actors + 1), context.Queue(), context.Queue()
    for numbered in [*enumerate(slices), *[None] * actors]:
        todo.put(numbered)
    workers = [context.Process(target=_work, args=(task, ready, todo, done)) for _ in range(actors)]
    for worker in workers:
        worker.start()
    ready.wait()
    began = time.perf_counter()
    scored = dict(done.get() for _ in slices)
    seconds = time.perf_counter() - began
    for worker in workers:
        worker.join()
    pq.write_table(pa.concat_tables([scored[number] for number in sorted(scored)]), task.answers)
    return Timed(seconds)


def _work(task: Task, ready: Barrier, todo: Any, done: Any) -> None:
    import torch

    from pipeline_lib import Scorer

    torch.set_num_threads(1)
    scorer = Scorer({"model": _model(task)}, task.device)
    scorer(pa.table({"text": ["a text to warm up with"]}))
    ready.wait()
    while (numbered := todo.get()) is not None:
        number, table = numbered
        done.put((number, scorer(table)))


def _model(task: Task) -> dict[str, str | None]:
    return {
        "name": task.model,
        "precision": task.precision,
        "engine": task.engine,
        "calibration": task.calibration,
    }
