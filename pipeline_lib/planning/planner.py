"""Plan: look at every shard, the checkpoint and what already stands, and decide what is to be done."""

import dataclasses
import datetime as dt
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import pyarrow as pa

from pipeline_lib.checkpoints.checkpoint import Checkpoint
from pipeline_lib.checkpoints.fetching import local_folder
from pipeline_lib.engines.computation import Computation, computation_of
from pipeline_lib.engines.inspection.inspector import inspect_checkpoint
from pipeline_lib.errors import InputNotReadyError, SettingsError
from pipeline_lib.inputs import hive_partitions, shard_cache
from pipeline_lib.inputs.discovery.listing import find_shards, refuse_output_in_input
from pipeline_lib.inputs.formats import dispatch
from pipeline_lib.inputs.hive_partitions import with_partitions
from pipeline_lib.inputs.schema import OutputSchema, unify_schemas
from pipeline_lib.inputs.shards import Contents, Shard, format_of
from pipeline_lib.machine.parallel import in_threads
from pipeline_lib.planning.plan import Plan
from pipeline_lib.planning.resume import earlier_work, shard_numbers
from pipeline_lib.planning.resume.earlier_work import Output
from pipeline_lib.planning.resume.score_reuse import reusable_slices
from pipeline_lib.planning.version import fingerprint_of, version_of
from pipeline_lib.settings.settings import Device, InputSettings, Settings
from pipeline_lib.storage import files as storage
from pipeline_lib.storage.records import Receipt


@dataclass(frozen=True)
class Discovery:
    """What a first look tells, within a second: most mistakes show here, before Ray starts."""

    settings: Settings
    """With paths that mean the same wherever a worker runs."""
    stamps: dict[str, storage.FileStamp]
    heads: dict[str, tuple[pa.Schema, int | None]]
    """Every shard's columns, and its rows where its head or an earlier run tells them: that of a CSV does not."""
    output_schema: OutputSchema
    notices: tuple[str, ...]
    replace: bool
    output: Output
    """The output folder, before anything was written."""

    @property
    def published(self) -> bool:
        """Whether readers see something in the output already, which may be all that is wanted."""
        return self.output.success is not None


def discover(settings: Settings, *, date: dt.date | None = None, replace: bool = False) -> Discovery:
    """List the shards and compare their columns; nothing is written.

    Args:
        settings: with dates filled in.
        date: the day that was filled in, if any; its missing input may yet come.
        replace: whether what is published may be replaced by another version or without shards that are gone.

    Raises:
        NightscoreError: of the kind that says who can mend it; see `errors`.
    """
    for url in settings.input.paths:
        storage.refuse_silence(url)
    local_folder(settings.model)  # a wrong name is told at once
    settings = _for_every_worker(settings)
    refuse_output_in_input(settings.input.paths, settings.output.path)
    try:
        listed = find_shards(settings.input.paths, dated=date is not None)
    except InputNotReadyError as error:
        raise InputNotReadyError(f"the input of {date} is not there yet: {error}") from None
    stamps = listed.stamps
    output = earlier_work.look_at(settings.output.path)
    known = shard_cache.known(output.manifest, stamps, settings.input) if output.manifest and output.whole else {}
    looked = _heads([path for path in stamps if path not in known], settings.input)
    found = {path: known.get(path) or looked[path] for path in stamps}
    schemas, folders = with_partitions({path: schema for path, (schema, _) in found.items()}, settings.input)
    output_schema, notices = unify_schemas(schemas, settings.input, folders)
    notices = (*listed.notices, *hive_partitions.notices(stamps, settings.input), *notices)
    return Discovery(settings, stamps, found, output_schema, notices, replace, output)


def _never(*_: object) -> bool:
    return False


def make_plan(
    discovery: Discovery, device: Device = "cpu", packs_on_gpus: Callable[[Settings, Checkpoint], bool] = _never
) -> Plan:
    """Return the plan of a run, from a close look at the checkpoint, the output and every shard.

    Args:
        discovery: the first look.
        device: the kind of device that the model actors will have.
        packs_on_gpus: tells whether the GPUs get packed rows of a checkpoint right.

    Raises:
        NightscoreError: as above.
    """
    settings = discovery.settings
    checkpoint = inspect_checkpoint(settings)
    computation = _computation(discovery, checkpoint, device, packs_on_gpus)
    fingerprint = fingerprint_of(settings, checkpoint, discovery.output_schema, computation)
    version = version_of(fingerprint)
    # Refuses an output before every shard is read.
    earlier_work.find(discovery.output, version, fingerprint, settings, replace=discovery.replace)
    plan = Plan(
        settings,
        checkpoint,
        computation,
        discovery.output_schema,
        fingerprint,
        version,
        _shards(discovery),
        discovery.notices,
        discovery.replace,
    )
    return _on_top_of(plan, discovery.output)


def _computation(
    discovery: Discovery,
    checkpoint: Checkpoint,
    device: Device,
    packs_on_gpus: Callable[[Settings, Checkpoint], bool],
) -> Computation:
    """Return how the checkpoint is computed; what was begun goes on as it was begun, and no GPU is asked."""
    plain = computation_of(discovery.settings, checkpoint, device)
    if device == "cpu" or not checkpoint.packs_safely:
        return plain
    packed = computation_of(discovery.settings, checkpoint, device, packed=True)
    begun = earlier_work.versions_in(discovery.output)
    for each in (packed, plain):
        if version_of(fingerprint_of(discovery.settings, checkpoint, discovery.output_schema, each)) in begun:
            return each
    return packed if packs_on_gpus(discovery.settings, checkpoint) else plain


def refresh_plan(plan: Plan, discovery: Discovery) -> Plan:
    """Return the plan on top of what stands in the output by now; what did not change is not read again.

    Raises:
        OutputError: what is published there may not be replaced.
    """
    return _on_top_of(plan, earlier_work.look_at(plan.settings.output.path, discovery.output))


def _on_top_of(plan: Plan, output: Output) -> Plan:
    found = earlier_work.find(output, plan.version, plan.fingerprint, plan.settings, replace=plan.may_replace)
    kept = shard_numbers.read(plan.settings.output.path, plan.version) if found.numbers_kept else {}
    shards = shard_numbers.numbered(plan.shards, found.numbers, kept)
    if not plan.may_replace:
        earlier_work.refuse_lost_shards(found.published or found.same_scores, shards)
    whole, broken = earlier_work.standing(output, shards, found.receipts)
    marked = _with_marks(plan, shards, whole)
    if marked != shards:
        shards = marked
        whole, broken = earlier_work.standing(output, shards, found.receipts)
    whole_ones = partial(earlier_work.whole_ones, output)
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
    fs, folder = storage.filesystem(output.path)
    # Here Ray unpacks what `ray job submit --working-dir` sends, and it deletes the copy when it likes.
    if storage.is_local(fs) and "/runtime_resources/working_dir_files/" in folder:
        raise SettingsError(
            f"output.path: {output.path!r} lies in Ray's temporary copy of the working folder, {folder!r}, which "
            "Ray deletes; give a path from the root, such as '/data/scores', or a bucket"
        )
    output = output.model_copy(update={"path": storage.full_name(fs, folder)})
    if os.path.isdir(model.name):
        model = model.model_copy(update={"name": os.path.abspath(model.name)})
    return settings.model_copy(update={"model": model, "output": output})


def _heads(paths: Sequence[str], settings: InputSettings) -> dict[str, tuple[pa.Schema, int | None]]:
    same: dict[str, pa.Schema] = {}

    def read_header(path: str) -> tuple[pa.Schema, int | None]:
        found, rows = storage.patiently(lambda: dispatch.head_of(path, format_of(path), settings.csv))
        return same.setdefault(found.to_string(), found), rows  # most shards have the same: kept once

    return dict(zip(paths, in_threads(read_header, paths), strict=True))


def _shards(discovery: Discovery) -> tuple[Shard, ...]:
    """Discovery into every shard; they are numbered in order until it is known which numbers are taken."""
    rows_per_slice = discovery.settings.tuning.rows_per_slice
    same: dict[tuple[str, ...], tuple[str, ...]] = {}

    def inspected(numbered: tuple[int, str]) -> Shard:
        number, path = numbered
        kind, stamp, (schema, rows) = format_of(path), discovery.stamps[path], discovery.heads[path]
        contents = Contents(schema, rows) if rows is not None else _inspected(path, discovery.settings)
        with storage.faults_named(path, "reading the shard"):
            content = storage.content_of(*storage.filesystem(path), stamp)
        names = tuple(map(sys.intern, contents.schema.names))
        names = same.setdefault(names, names)
        marks, written = contents.marks, shard_cache.written(schema)
        return Shard(
            number, path, kind, stamp, content, contents.rows, names, rows_per_slice, marks, sys.intern(written)
        )

    return tuple(in_threads(inspected, enumerate(discovery.stamps)))


def _inspected(path: str, settings: Settings) -> Contents:
    """Read a shard through, where its head does not tell its rows."""
    return storage.patiently(
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
