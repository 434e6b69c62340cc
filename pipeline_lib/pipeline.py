"""The whole job, in the order it happens: plan, read, tokenize, classify, write, publish, report.

Nothing else in the project knows Ray Data.
"""

import datetime as dt
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pyarrow as pa
import ray
import ray.data
from ray.data import ActorPoolStrategy
from ray.data.block import BlockMetadata

from pipeline_lib import tally
from pipeline_lib.checkpoint import Checkpoint
from pipeline_lib.classifier import Classifier
from pipeline_lib.cluster import connected, failures_explained
from pipeline_lib.config import Settings
from pipeline_lib.manifest import Receipt
from pipeline_lib.packing import pack, unpack
from pipeline_lib.plan import Plan
from pipeline_lib.planner import make_plan
from pipeline_lib.progress import Progress
from pipeline_lib.publisher import publish
from pipeline_lib.reader import Reader
from pipeline_lib.report import Outcome, failures_reported, report
from pipeline_lib.resources import Allotment, allot
from pipeline_lib.shards import Slice
from pipeline_lib.tally import Tally
from pipeline_lib.tokenizer import Tokenizer
from pipeline_lib.writer import Writer

# A row of the dataset is a packed slice, so that no step ever sees half a slice or the seam of two.
_A_SLICE_A_CALL: dict[str, Any] = {"batch_size": 1, "batch_format": "pyarrow"}


def run(settings: Settings, date: dt.date | None, progress: Progress) -> Outcome:
    """Score what is not scored yet, publish all of it and report.

    Args:
        settings: as read, with `{date}` still in its paths.
        date: the day to fill in, if the paths have a place for it.
        progress: told what happens.

    Raises:
        NightscoreError: of the kind whose exit code tells a scheduler what to do; see `errors`.
    """
    started = time.monotonic()
    plan = make_plan(settings.on_date(date), dated=date is not None)
    progress.planned(plan)
    if plan.complete:
        return report(plan, date, started)
    with failures_reported(plan, date, started):
        with connected() as (cpus, gpus), tally.watched(progress.scored) as counts:
            allotment = allot(cpus, gpus, len(plan.todo), plan.settings.tuning)
            progress.starting(plan, allotment)
            fresh = list(score(plan, allotment, counts))
            peaks = counts.peaks()
        progress.publishing()
        publish(plan, [*plan.standing, *fresh])
    return report(plan, date, started, fresh=fresh, peaks=peaks)


def score(plan: Plan, allotment: Allotment, counts: Tally) -> Iterator[Receipt]:
    """Score the slices that are still to be done; yield the receipt of each when its files stand."""
    if not plan.todo:
        return
    written = (
        ray.data.read_datasource(
            _Slices(plan),
            override_num_blocks=len(plan.todo),
            num_cpus=allotment.cpus_per_tokenizer,  # as the tokenizer's, so that Ray fuses the two
        )
        .map_batches(
            _Tokenize,
            fn_constructor_args=(plan.settings, plan.checkpoint, counts),
            compute=ActorPoolStrategy(size=allotment.tokenizer_actors),
            num_cpus=allotment.cpus_per_tokenizer,
            **_A_SLICE_A_CALL,
        )
        .map_batches(
            _Classify,
            fn_constructor_args=(plan.settings, plan.checkpoint, allotment, counts),
            compute=ActorPoolStrategy(size=allotment.model_actors),
            num_cpus=allotment.cpus_per_model_actor,
            num_gpus=allotment.gpus_per_model_actor,
            **_A_SLICE_A_CALL,
        )
        .map_batches(
            _Write,
            fn_constructor_args=(ray.put(plan), counts),
            compute=ActorPoolStrategy(size=allotment.writers),
            num_cpus=allotment.cpus_per_writer,
            **_A_SLICE_A_CALL,
        )
    )
    with failures_explained():
        for batch in written.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            yield from map(Receipt.model_validate_json, batch.column("receipt").to_pylist())


class _Slices(ray.data.Datasource):
    """The plan's open slices as a source of Ray Data: one read task, and so one block, for each."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self._plan = plan

    def estimate_inmemory_data_size(self) -> int | None:
        return None

    def get_read_tasks(self, *_: Any, **__: Any) -> list[ray.data.ReadTask]:
        read = Reader(self._plan.settings.input, self._plan.layout)
        shards = {shard.number: replace(shard, slices=()) for shard in self._plan.shards}

        def task(part: Slice) -> Callable[[], list[pa.Table]]:
            shard = shards[part.shard]
            return lambda: [pack(part, read(shard, part))]

        a_row = BlockMetadata(num_rows=1, size_bytes=None, exec_stats=None)
        return [ray.data.ReadTask(task(part), a_row) for part in self._plan.todo]


class _Tokenize:
    """A CPU worker that holds the tokenizer."""

    def __init__(self, settings: Settings, checkpoint: Checkpoint, counts: Tally) -> None:
        self._tokenizer, self._counts = Tokenizer(settings, checkpoint), counts

    def __call__(self, batch: pa.Table) -> pa.Table:
        part, table = unpack(batch)
        tokenized = self._tokenizer(table)
        self._counts.used("tokenizer")
        return pack(part, tokenized)


class _Classify:
    """A GPU actor (or a CPU one) that holds the model."""

    def __init__(self, settings: Settings, checkpoint: Checkpoint, allotment: Allotment, counts: Tally) -> None:
        import torch

        # Fixed, since the number of threads can change the last digit of a sum.
        torch.set_num_threads(allotment.threads_per_model_actor)
        self._classifier, self._counts = Classifier(settings, checkpoint, allotment.device), counts

    def __call__(self, batch: pa.Table) -> pa.Table:
        part, table = unpack(batch)
        classified = self._classifier(table, self._counts.scoring(part))
        self._counts.scored(part, part.rows)
        self._counts.used("model")
        return pack(part, classified)


class _Write:
    """A CPU worker that writes what comes out of the model."""

    def __init__(self, plan: ray.ObjectRef, counts: Tally) -> None:
        self._writer, self._counts = Writer(ray.get(plan)), counts

    def __call__(self, batch: pa.Table) -> pa.Table:
        part, table = unpack(batch)
        receipt = self._writer(table, part)
        self._counts.used("writer")
        return pa.table({"receipt": [receipt.model_dump_json()]})
