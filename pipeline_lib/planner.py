"""Plan: look at every shard, the checkpoint and what already stands, and decide what is to be done."""

import dataclasses
import datetime as dt
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from pipeline_lib import earlier, formats, storage
from pipeline_lib.checkpoint import local_folder
from pipeline_lib.config import InputSettings, Settings
from pipeline_lib.errors import InputNotReadyError
from pipeline_lib.examiner import examine
from pipeline_lib.layout import Layout, lay_out
from pipeline_lib.listing import list_shards, refuse_output_in_input
from pipeline_lib.plan import Plan
from pipeline_lib.shards import Contents, Shard, format_of
from pipeline_lib.threads import in_threads
from pipeline_lib.version import fingerprint_of, version_of


@dataclass(frozen=True)
class Look:
    """What a first look tells, within a second: most mistakes show here, before Ray starts."""

    settings: Settings
    """With paths that mean the same wherever a worker runs."""
    stamps: dict[str, storage.FileStamp]
    heads: dict[str, tuple[pa.Schema, int | None]]
    """Every shard's columns, and its rows where its head tells them: that of a CSV does not."""
    layout: Layout
    notices: tuple[str, ...]
    replace: bool
    published: bool
    """Whether readers see something in the output already, which may be all that is wanted."""


def look(settings: Settings, *, date: dt.date | None = None, replace: bool = False) -> Look:
    """List the shards and compare their columns; nothing is written.

    Args:
        settings: with dates filled in.
        date: the day that was filled in, if any; its missing input may yet come.
        replace: whether what is published may be replaced by another version or without shards that are gone.

    Raises:
        NightscoreError: of the kind that says who can mend it; see `errors`.
    """
    for url in (*settings.input.paths, settings.output.path, settings.model.name):
        storage.refuse_secrets(url)
    local_folder(settings.model)  # a wrong name is told at once
    settings = _for_every_worker(settings)
    refuse_output_in_input(settings.input.paths, settings.output.path)
    try:
        stamps = list_shards(settings.input.paths, dated=date is not None)
    except InputNotReadyError as error:
        raise InputNotReadyError(f"the input of {date} is not there yet: {error}") from None
    heads = _heads(stamps, settings.input)
    layout, notices = lay_out({path: schema for path, (schema, _) in heads.items()}, settings.input)
    return Look(settings, stamps, heads, layout, notices, replace, earlier.is_published(settings.output.path))


def make_plan(seen: Look) -> Plan:
    """Return the plan of a run, from a close look at the checkpoint, the output and every shard.

    Raises:
        NightscoreError: as above.
    """
    settings = seen.settings
    checkpoint = examine(settings)
    fingerprint = fingerprint_of(settings, checkpoint, seen.layout)
    version = version_of(fingerprint)
    earlier.find(
        settings, version, fingerprint, replace=seen.replace
    )  # refuses an output before every shard is read
    shards = _shards(seen)
    return refreshed(
        Plan(settings, checkpoint, seen.layout, fingerprint, version, shards, seen.notices, seen.replace)
    )


def refreshed(plan: Plan) -> Plan:
    """Return the plan on top of what stands in the output by now.

    Raises:
        OutputError: what is published there may not be replaced.
    """
    found = earlier.find(plan.settings, plan.version, plan.fingerprint, replace=plan.replace)
    shards = _numbered(plan.shards, found.numbers)
    if not plan.replace:
        earlier.refuse_lost_shards(found.published, shards)
    whole, broken = earlier.standing(plan.settings, shards, found.receipts)
    return dataclasses.replace(
        plan,
        shards=shards,
        standing=whole,
        published=found.published,
        replaced=found.replaced,
        broken=broken,
        strangers=found.strangers,
        untidy=found.untidy,
    )


def _for_every_worker(settings: Settings) -> Settings:
    """Return settings whose paths mean the same wherever a worker runs: relative ones made absolute."""
    model, output = settings.model, settings.output
    output = output.model_copy(update={"path": storage.full_name(*storage.filesystem(output.path))})
    if os.path.isdir(model.name):
        model = model.model_copy(update={"name": os.path.abspath(model.name)})
    return settings.model_copy(update={"model": model, "output": output})


def _heads(
    stamps: Mapping[str, storage.FileStamp], settings: InputSettings
) -> dict[str, tuple[pa.Schema, int | None]]:
    same: dict[str, pa.Schema] = {}

    def look(path: str) -> tuple[pa.Schema, int | None]:
        found, rows = formats.head_of(path, format_of(path), settings.csv)
        return same.setdefault(found.to_string(), found), rows  # most shards have the same: kept once

    return dict(zip(stamps, in_threads(look, stamps), strict=True))


def _shards(seen: Look) -> tuple[Shard, ...]:
    """Look into every shard; they are numbered in order until it is known which numbers are taken."""
    rows_per_slice = seen.settings.tuning.rows_per_slice
    same: dict[tuple[str, ...], tuple[str, ...]] = {}

    def look(numbered: tuple[int, str]) -> Shard:
        number, path = numbered
        kind, stamp, (schema, rows) = format_of(path), seen.stamps[path], seen.heads[path]
        contents = (
            formats.inspect(path, kind, seen.settings.input.csv, rows_per_slice)
            if rows is None
            else Contents(schema, rows)
        )
        with storage.faults_named(path, "reading the shard"):
            content = storage.content_of(*storage.filesystem(path), stamp)
        names = tuple(map(sys.intern, contents.schema.names))
        names = same.setdefault(names, names)
        return Shard(number, path, kind, stamp, content, contents.rows, names, rows_per_slice, contents.marks)

    return tuple(in_threads(look, enumerate(seen.stamps)))


def _numbered(shards: tuple[Shard, ...], numbers: Mapping[str, int]) -> tuple[Shard, ...]:
    """Return the shards with the numbers they were given before; new ones get the next."""
    after = max(numbers.values(), default=-1) + 1
    fresh = (shard.path for shard in shards if shard.path not in numbers)
    number = {**numbers, **{path: after + at for at, path in enumerate(fresh)}}
    return tuple(
        shard if shard.number == number[shard.path] else dataclasses.replace(shard, number=number[shard.path])
        for shard in shards
    )
