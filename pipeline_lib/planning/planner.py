"""Plan: look at every shard, the checkpoint and what already stands, and decide what is to be done."""

import dataclasses
import datetime as dt
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import pyarrow as pa

from pipeline_lib.checkpoints.checkpoint import Checkpoint, local_folder
from pipeline_lib.engines.inspection.inspector import examine
from pipeline_lib.errors import InputNotReadyError, SettingsError
from pipeline_lib.inputs import hive_partitions, shard_cache
from pipeline_lib.inputs.discovery.listing import find_shards, refuse_output_in_input
from pipeline_lib.inputs.formats import dispatch
from pipeline_lib.inputs.hive_partitions import with_partitions
from pipeline_lib.inputs.schema import Layout, lay_out
from pipeline_lib.inputs.shards import Contents, Shard, format_of
from pipeline_lib.machine.parallel import in_threads
from pipeline_lib.planning import resume, shard_numbers
from pipeline_lib.planning.computation import Computation, computation_of
from pipeline_lib.planning.plan import Plan
from pipeline_lib.planning.resume import Output
from pipeline_lib.planning.score_reuse import reusable_slices
from pipeline_lib.planning.version import fingerprint_of, version_of
from pipeline_lib.settings.settings import Device, InputSettings, Settings
from pipeline_lib.storage.integrity import content_id
from pipeline_lib.storage.location import FileStamp
from pipeline_lib.storage.records import Receipt
from pipeline_lib.storage.store_errors import translated_errors, with_retries
from pipeline_lib.storage.urls import check_store_answers, location_of


@dataclass(frozen=True)
class Look:
    """What a first look tells, within a second: most mistakes show here, before Ray starts."""

    settings: Settings
    """With paths that mean the same wherever a worker runs."""
    stamps: dict[str, FileStamp]
    heads: dict[str, tuple[pa.Schema, int | None]]
    """Every shard's columns, and its rows where its head or an earlier run tells them: that of a CSV does not."""
    layout: Layout
    notices: tuple[str, ...]
    replace: bool
    output: Output
    """The output folder, before anything was written."""

    @property
    def published(self) -> bool:
        """Whether readers see something in the output already, which may be all that is wanted."""
        return self.output.success is not None


def look(settings: Settings, *, date: dt.date | None = None, replace: bool = False) -> Look:
    """List the shards and compare their columns; nothing is written.

    Args:
        settings: with dates filled in.
        date: the day that was filled in, if any; its missing input may yet come.
        replace: whether what is published may be replaced by another version or without shards that are gone.

    Raises:
        NightscoreError: of the kind that says who can mend it; see `errors`.
    """
    for url in settings.input.paths:
        check_store_answers(url)
    local_folder(settings.model)  # a wrong name is told at once
    settings = _for_every_worker(settings)
    refuse_output_in_input(settings.input.paths, settings.output.path)
    try:
        listed = find_shards(settings.input.paths, dated=date is not None)
    except InputNotReadyError as error:
        raise InputNotReadyError(f"the input of {date} is not there yet: {error}") from None
    stamps = listed.stamps
    output = resume.look_at(settings.output.path)
    known = shard_cache.known(output.manifest, stamps, settings.input) if output.manifest and output.whole else {}
    looked = _heads([path for path in stamps if path not in known], settings.input)
    found = {path: known.get(path) or looked[path] for path in stamps}
    schemas, folders = with_partitions({path: schema for path, (schema, _) in found.items()}, settings.input)
    layout, notices = lay_out(schemas, settings.input, folders)
    notices = (*listed.notices, *hive_partitions.notices(stamps, settings.input), *notices)
    return Look(settings, stamps, found, layout, notices, replace, output)


def _never(*_: object) -> bool:
    return False


def make_plan(
    seen: Look, device: Device = "cpu", packs_on_gpus: Callable[[Settings, Checkpoint], bool] = _never
) -> Plan:
    """Return the plan of a run, from a close look at the checkpoint, the output and every shard.

    Args:
        seen: the first look.
        device: the kind of device that the model actors will have.
        packs_on_gpus: tells whether the GPUs get packed rows of a checkpoint right.

    Raises:
        NightscoreError: as above.
    """
    settings = seen.settings
    checkpoint = examine(settings)
    computation = _computation(seen, checkpoint, device, packs_on_gpus)
    fingerprint = fingerprint_of(settings, checkpoint, seen.layout, computation)
    version = version_of(fingerprint)
    # Refuses an output before every shard is read.
    resume.find(seen.output, version, fingerprint, settings, replace=seen.replace)
    plan = Plan(
        settings,
        checkpoint,
        seen.layout,
        computation,
        fingerprint,
        version,
        _shards(seen),
        seen.notices,
        seen.replace,
    )
    return _on_top_of(plan, seen.output)


def _computation(
    seen: Look, checkpoint: Checkpoint, device: Device, packs_on_gpus: Callable[[Settings, Checkpoint], bool]
) -> Computation:
    """Return how the checkpoint is computed; what was begun goes on as it was begun, and no GPU is asked."""
    plain = computation_of(seen.settings, checkpoint, device)
    if device == "cpu" or not checkpoint.packs_safely:
        return plain
    packed = computation_of(seen.settings, checkpoint, device, packed=True)
    begun = resume.versions_in(seen.output)
    for each in (packed, plain):
        if version_of(fingerprint_of(seen.settings, checkpoint, seen.layout, each)) in begun:
            return each
    return packed if packs_on_gpus(seen.settings, checkpoint) else plain


def refreshed(plan: Plan, seen: Look) -> Plan:
    """Return the plan on top of what stands in the output by now; what did not change is not read again.

    Raises:
        OutputError: what is published there may not be replaced.
    """
    return _on_top_of(plan, resume.look_at(plan.settings.output.path, seen.output))


def _on_top_of(plan: Plan, output: Output) -> Plan:
    found = resume.find(output, plan.version, plan.fingerprint, plan.settings, replace=plan.may_replace)
    kept = shard_numbers.read(plan.settings.output.path, plan.version) if found.numbers_kept else {}
    shards = shard_numbers.numbered(plan.shards, found.numbers, kept)
    if not plan.may_replace:
        resume.refuse_lost_shards(found.published or found.same_scores, shards)
    whole, broken = resume.standing(output, shards, found.receipts)
    marked = _with_marks(plan, shards, whole)
    if marked != shards:
        shards = marked
        whole, broken = resume.standing(output, shards, found.receipts)
    whole_ones = partial(resume.whole_ones, output)
    return dataclasses.replace(
        plan,
        shards=shards,
        standing=whole,
        published=found.published,
        replaced=found.replaced,
        reusable=reusable_slices(found.same_scores, shards, whole_ones) if found.same_scores else {},
        broken=broken,
        strangers=found.strangers,
        untidy=found.untidy,
    )


def _for_every_worker(settings: Settings) -> Settings:
    """Return settings whose paths mean the same wherever a worker runs: relative ones made absolute."""
    model, output = settings.model, settings.output
    folder = location_of(output.path)
    # Here Ray unpacks what `ray job submit --working-dir` sends, and it deletes the copy when it likes.
    if folder.is_local and "/runtime_resources/working_dir_files/" in folder.path:
        raise SettingsError(
            f"output.path: {output.path!r} lies in Ray's temporary copy of the working folder, {folder.path!r}, "
            "which Ray deletes; give a path from the root, such as '/data/scores', or a bucket"
        )
    output = output.model_copy(update={"path": folder.url})
    if os.path.isdir(model.name):
        model = model.model_copy(update={"name": os.path.abspath(model.name)})
    return settings.model_copy(update={"model": model, "output": output})


def _heads(paths: Sequence[str], settings: InputSettings) -> dict[str, tuple[pa.Schema, int | None]]:
    same: dict[str, pa.Schema] = {}

    def look(path: str) -> tuple[pa.Schema, int | None]:
        found, rows = with_retries(lambda: dispatch.head_of(path, format_of(path), settings.csv))
        return same.setdefault(found.to_string(), found), rows  # most shards have the same: kept once

    return dict(zip(paths, in_threads(look, paths), strict=True))


def _shards(seen: Look) -> tuple[Shard, ...]:
    """Look into every shard; they are numbered in order until it is known which numbers are taken."""
    rows_per_slice = seen.settings.tuning.rows_per_slice
    same: dict[tuple[str, ...], tuple[str, ...]] = {}

    def look(numbered: tuple[int, str]) -> Shard:
        number, path = numbered
        kind, stamp, (schema, rows) = format_of(path), seen.stamps[path], seen.heads[path]
        contents = Contents(schema, rows) if rows is not None else _inspected(path, seen.settings)
        with translated_errors(path, "reading the shard"):
            content = content_id(path, stamp)
        names = tuple(map(sys.intern, contents.schema.names))
        names = same.setdefault(names, names)
        marks, written = contents.marks, shard_cache.written(schema)
        return Shard(
            number, path, kind, stamp, content, contents.rows, names, rows_per_slice, marks, sys.intern(written)
        )

    return tuple(in_threads(look, enumerate(seen.stamps)))


def _inspected(path: str, settings: Settings) -> Contents:
    """Read a shard through, where its head does not tell its rows."""
    return with_retries(
        lambda: dispatch.inspect(path, format_of(path), settings.input.csv, settings.tuning.rows_per_slice)
    )


def _with_marks(plan: Plan, shards: tuple[Shard, ...], standing: tuple[Receipt, ...]) -> tuple[Shard, ...]:
    """Return the shards with the places of slices in those CSV files that were not read, since all should stand."""
    stands = {(receipt.shard, receipt.first_row) for receipt in standing}

    def marked(shard: Shard) -> Shard:
        if shard.format != "csv" or shard.marks or all((shard.number, row) in stands for row in shard.starts):
            return shard
        contents = _inspected(shard.path, plan.settings)
        return dataclasses.replace(shard, rows=contents.rows, marks=contents.marks)

    return tuple(in_threads(marked, shards))
