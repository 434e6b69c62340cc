"""The whole job, in the order it happens: plan, read, tokenize, classify, write, publish, report.

Nothing else in the project knows Ray Data.
"""

import datetime as dt
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace as replace_fields
from functools import partial
from typing import Any

import pyarrow as pa
import ray
import ray.data
from ray.data import ActorPoolStrategy

from pipeline_lib.engines.precision import sampled, with_drift
from pipeline_lib.errors import LostWorkerError, SettingsError
from pipeline_lib.execution import worker_statistics
from pipeline_lib.execution.cluster import connected, failures_explained, joined_if_running, running_cluster
from pipeline_lib.execution.engine_agreement import engine_agreed, packs_on_gpus
from pipeline_lib.execution.node_check import refuse_unlike_nodes
from pipeline_lib.execution.placement import Room, device_kind, reserved, settled, with_usable_gpus
from pipeline_lib.execution.transport import described, grouped, pack, slice_of, unpack
from pipeline_lib.execution.worker_statistics import Tally
from pipeline_lib.inputs import columns
from pipeline_lib.inputs.reader import Reader
from pipeline_lib.inputs.shards import Slice
from pipeline_lib.planning.plan import Plan
from pipeline_lib.planning.planner import Look, look, make_plan, refreshed
from pipeline_lib.planning.resources import Allotment
from pipeline_lib.planning.score_reuse import with_earlier_scores
from pipeline_lib.publishing.publisher import check_rows, clear, publish, tidy
from pipeline_lib.publishing.writer import Writer
from pipeline_lib.reporting.progress import Progress
from pipeline_lib.reporting.run_record import Outcome, Work, failures_reported, report
from pipeline_lib.scoring.classifier import Classifier
from pipeline_lib.scoring.quarantine import carefully, reading, starting
from pipeline_lib.scoring.tokenizer import Tokenizer
from pipeline_lib.settings.settings import Settings
from pipeline_lib.storage.lease import leased
from pipeline_lib.storage.records import Receipt

# A machine may be lost now and then; one loss after another is a fault of the cluster.
_LOSSES = 3

# A row of the dataset is a packed slice, so that no step ever sees half a slice or the seam of two.
_A_SLICE_A_CALL: dict[str, Any] = {"batch_size": 1, "batch_format": "pyarrow"}


def run(settings: Settings, date: dt.date | None, progress: Progress, *, replace: bool = False) -> Outcome:
    """Score what is not scored yet, publish all of it and report.

    Args:
        settings: as read, with `{date}` still in its paths.
        date: the day to fill in, if the paths have a place for it.
        progress: told what happens.
        replace: whether what is published may be replaced by another version, or without shards that are gone.

    Raises:
        NightscoreError: of the kind whose exit code tells a scheduler what to do; see `errors`.
    """
    attempt = progress.attempt
    attempt.date = date
    with progress.telling():
        progress.phase("listing the input and reading its columns")
        first_look = look(settings.on_date(date), date=date, replace=replace)
        with joined_if_running(progress.note), engine_agreed(first_look) as (seen, notes):
            for text in notes:
                progress.note(text)
            has_ray = ray.is_initialized()
            progress.phase("looking at the checkpoint, the output and every shard" + _ray_meanwhile(seen))
            planned = partial(_planned, seen, has_ray=has_ray)
            # Ray starts meanwhile, unless something is published: then there may be nothing to score.
            with nullcontext(planned()) if seen.published else connected(planned, progress.note) as first:
                return _run(first, seen, progress)


def plan_only(settings: Settings, date: dt.date | None, *, replace: bool = False) -> Plan:
    """Return what a run would do, and touch nothing.

    Raises:
        NightscoreError: as `run` would.
    """
    first_look = look(settings.on_date(date), date=date, replace=replace)
    with joined_if_running(), engine_agreed(first_look) as (seen, _):
        return _planned(seen, has_ray=ray.is_initialized())


def _planned(seen: Look, *, has_ray: bool) -> Plan:
    return make_plan(seen, device_kind(seen.settings.tuning, has_ray=has_ray), packs_on_gpus)


def _run(first: Plan, seen: Look, progress: Progress) -> Outcome:
    attempt = progress.attempt
    attempt.plan = first
    progress.planned(first)
    check_rows(first)
    if first.complete:
        tidy(first)
        return report(attempt, first)
    with failures_reported(attempt), leased(first.settings.output.path, progress.note) as lease:
        attempt.plan = plan = refreshed(first, seen)
        if plan.complete:
            return report(attempt, plan)  # by a run that ended since the first look
        clear(plan)
        work = _score_all(plan, progress)
        progress.publishing()
        manifest = publish(plan, attempt.staged, lease.confirm)
        if len(manifest.computed_by) > 1:
            progress.note(f"slices were computed in {len(manifest.computed_by)} ways; computed_by in the manifest")
    return report(attempt, plan, work)


def _ray_meanwhile(seen: Look) -> str:
    return "" if seen.published else "; Ray starts meanwhile"


def _score_all(plan: Plan, progress: Progress) -> Work | None:
    """Score what is to be done, also through the loss of a machine; return what it took."""
    receipts = progress.attempt.receipts
    todo = len(plan.todo)
    if not todo:
        return None
    if not ray.is_initialized():
        progress.phase("starting Ray, or connecting to one")
    with (
        failures_explained(),
        connected(lambda: None, progress.note),
        worker_statistics.watched(progress.scored) as counts,
    ):
        tuning = plan.settings.tuning
        if running_cluster() is None:
            tuning = with_usable_gpus(tuning, progress.note)
        tuning = settled(tuning, plan.computation.device)
        for losses_left in reversed(range(_LOSSES)):
            left = replace_fields(plan, standing=(*plan.standing, *receipts))
            try:
                with reserved(len(left.todo), tuning, progress.note) as room:
                    refuse_unlike_nodes(left, room.nodes)
                    if losses_left == _LOSSES - 1:
                        progress.starting(plan, room.allotment)
                    for receipt in score(left, room, counts):
                        receipts.append(receipt)  # what was yielded before a loss counts
                break
            except LostWorkerError as error:
                if not losses_left:
                    raise
                progress.note(f"{error}; going on with what is left")
        for text in counts.said():
            progress.note(text)
        return Work(counts.peaks(), *counts.busy())


def score(plan: Plan, room: Room, counts: Tally) -> Iterator[Receipt]:
    """Score the slices that are still to be done; yield the receipt of each when its files stand."""
    todo = plan.todo
    if not todo:
        return
    allotment = room.allotment
    shared = (ray.put(plan), allotment, counts)
    workers = max(allotment.model_actors, allotment.tokenizer_actors)
    # `from_arrow` would send each block through a task of its own: 45 KiB of the driver's memory and milliseconds.
    slices = ray.data.from_blocks([described(*parts) for parts in grouped(_longest_first(todo), workers)])
    if allotment.together:
        written = slices.map_batches(_TokenizeClassifyWrite, **_model_actors(room, shared))
    else:
        written = (
            slices.map_batches(
                _Tokenize,
                fn_constructor_args=shared,
                compute=ActorPoolStrategy(size=allotment.tokenizer_actors),
                num_cpus=allotment.cpus_per_tokenizer,
                scheduling_strategy=room.strategy(1),
                **_A_SLICE_A_CALL,
            )
            .map_batches(_Classify, **_model_actors(room, shared))
            .map_batches(
                _Write,
                fn_constructor_args=shared,
                compute=ActorPoolStrategy(size=allotment.writers),
                num_cpus=allotment.cpus_per_writer,
                scheduling_strategy=room.strategy(2),
                **_A_SLICE_A_CALL,
            )
        )
    with failures_explained():
        for batch in written.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            yield from map(Receipt.model_validate_json, batch.column("receipt").to_pylist())


def _longest_first(todo: list[Slice]) -> list[Slice]:
    """Return slices with the shorter ends of shards last, so that all actors are done at one time."""
    return sorted(todo, key=lambda part: -part.rows)


def _model_actors(room: Room, shared: tuple[Any, ...]) -> dict[str, Any]:
    allotment = room.allotment
    return {
        "fn_constructor_args": shared,
        # An actor with all steps gets a slice when it is done with one; else one would end late and another idle.
        "compute": ActorPoolStrategy(
            size=allotment.model_actors, max_tasks_in_flight_per_actor=1 if allotment.together else None
        ),
        "num_cpus": allotment.cpus_per_model_actor,
        "num_gpus": allotment.gpus_per_model_actor,
        "scheduling_strategy": room.strategy(0),
        **_A_SLICE_A_CALL,
    }


class _Tokenize:
    """A CPU worker that reads slices and holds the tokenizer."""

    def __init__(self, plan_ref: ray.ObjectRef, _: Allotment, counts: Tally) -> None:
        plan: Plan = ray.get(plan_ref)
        self._shards = {shard.number: replace_fields(shard, marks=()) for shard in plan.shards}
        self._read = Reader(plan.settings.input, plan.layout)
        self._settings, self._reusable = plan.settings, plan.reusable
        self._counts = counts
        with starting(Tokenizer.name, _actor(), counts.notes):
            self._tokenizer = Tokenizer(plan.settings, plan.checkpoint)

    def __call__(self, batch: pa.Table) -> pa.Table:
        part = slice_of(batch)
        with self._counts.working("tokenizer"):
            shard = self._shards[part.shard]
            with reading(shard.path, part, self._counts.notes):
                table = self._read(shard, part)
            if earlier := self._reusable.get((part.shard, part.first_row)):
                return pack(part, with_earlier_scores(table, earlier, self._settings))
            return pack(part, carefully(self._tokenizer, part, table, self._counts.notes))


class _Classify:
    """A GPU actor (or a CPU one) that holds the model."""

    def __init__(self, plan_ref: ray.ObjectRef, allotment: Allotment, counts: Tally) -> None:
        import torch

        # Fixed, since the number of threads can change the last digit of a sum.
        torch.set_num_threads(allotment.threads_per_model_actor)
        if allotment.device == "cuda" and not torch.cuda.is_available():
            raise SettingsError(
                f"node {ray.util.get_node_ip_address()}: PyTorch {torch.__version__} can't use the GPU that Ray "
                "gives it; set tuning.gpus_per_model_actor: 0 to score on CPUs, or install a PyTorch that can"
            )
        plan: Plan = ray.get(plan_ref)
        self._counts = counts
        with starting(Classifier.name, _actor(), counts.notes):
            self._classifier = Classifier(
                plan.settings,
                plan.checkpoint,
                allotment.device,
                packed=plan.computation.layout == "packed",
                share=allotment.gpus_per_model_actor,
                say=counts.say,
            )
        self._rows_per_slice = plan.settings.tuning.rows_per_slice

    def __call__(self, batch: pa.Table) -> pa.Table:
        part, table = unpack(batch)
        if columns.LABEL in table.column_names:  # taken over from an earlier version
            self._counts.scored(part, part.rows)
            return batch
        with self._counts.working("model"):
            classified = carefully(self._classifier, part, table, self._counts.notes, self._counts.scoring(part))
            sample = sampled(part.first_row // self._rows_per_slice, part.rows)
            drift = self._classifier.drift(table, sample) if sample else None
        self._counts.scored(part, part.rows)
        return pack(part, with_drift(classified, drift) if drift else classified)


class _Write:
    """A CPU worker that writes what comes out of the model."""

    def __init__(self, plan_ref: ray.ObjectRef, _: Allotment, counts: Tally) -> None:
        self._writer, self._counts = Writer(ray.get(plan_ref)), counts

    def __call__(self, batch: pa.Table) -> pa.Table:
        part, table = unpack(batch)
        with self._counts.working("writer"):
            receipt = self._writer(table, part)
        return pa.table({"receipt": [receipt.model_dump_json()]})


def _actor() -> str:
    """Return the name that this actor keeps when its process is restarted."""
    return str(ray.get_runtime_context().get_actor_id())


class _TokenizeClassifyWrite:
    """A CPU actor that takes its slices through all steps."""

    def __init__(self, plan_ref: ray.ObjectRef, allotment: Allotment, counts: Tally) -> None:
        self._steps = [step(plan_ref, allotment, counts) for step in (_Tokenize, _Classify, _Write)]

    def __call__(self, batch: pa.Table) -> pa.Table:
        for step in self._steps:
            batch = step(batch)
        return batch
