"""Plan: look at every shard, the checkpoint and what already stands, and decide what is to be done."""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from pipeline_lib import earlier, formats, storage
from pipeline_lib.config import InputSettings, Settings
from pipeline_lib.examiner import examine
from pipeline_lib.layout import lay_out
from pipeline_lib.listing import list_shards
from pipeline_lib.plan import Plan
from pipeline_lib.shards import Shard, cut, format_of
from pipeline_lib.version import fingerprint_of, version_of

_THREADS = 16


def make_plan(settings: Settings, *, dated: bool = False) -> Plan:
    """Return the plan of a run; nothing is written.

    Cheap looks come first, so that most mistakes show within a second.

    Args:
        settings: with dates filled in.
        dated: whether a date was filled in, so that missing input may yet come.

    Raises:
        NightscoreError: of the kind that says who can mend it; see `errors`.
    """
    settings = _for_every_worker(settings)
    stamps = list_shards(settings.input.paths, dated=dated)
    schemas = _schemas(stamps, settings.input)
    layout, notices = lay_out(schemas, settings.input)
    checkpoint = examine(settings)
    fingerprint = fingerprint_of(settings, checkpoint, layout)
    version = version_of(fingerprint)
    published = earlier.published(settings, version)
    numbers, receipts = earlier.receipts(settings, version)
    shards = _shards(stamps, numbers, settings)
    earlier.refuse_lost_shards(published, shards)
    whole, broken = earlier.standing(settings, shards, receipts)
    return Plan(settings, checkpoint, layout, fingerprint, version, shards, whole, published, notices, broken)


def _for_every_worker(settings: Settings) -> Settings:
    """Return settings whose paths mean the same wherever a worker runs: relative ones made absolute."""
    model, output = settings.model, settings.output
    output = output.model_copy(update={"path": storage.full_name(*storage.filesystem(output.path))})
    if os.path.isdir(model.name):
        model = model.model_copy(update={"name": os.path.abspath(model.name)})
    return settings.model_copy(update={"model": model, "output": output})


def _schemas(stamps: Mapping[str, storage.FileStamp], settings: InputSettings) -> dict[str, pa.Schema]:
    def look(path: str) -> pa.Schema:
        return formats.schema_of(path, format_of(path), settings.csv)

    with ThreadPoolExecutor(_THREADS) as pool:
        return dict(zip(stamps, pool.map(look, stamps), strict=True))


def _shards(
    stamps: Mapping[str, storage.FileStamp], numbers: dict[str, int], settings: Settings
) -> tuple[Shard, ...]:
    """Look into every shard; those seen before keep their number, new ones get the next."""
    rows_per_slice = settings.tuning.rows_per_slice
    after = max(numbers.values(), default=-1) + 1
    fresh = {path: after + at for at, path in enumerate(path for path in stamps if path not in numbers)}

    def look(path: str) -> Shard:
        kind = format_of(path)
        contents = formats.inspect(path, kind, settings.input.csv, rows_per_slice)
        number = (numbers | fresh)[path]
        names = tuple(contents.schema.names)
        slices = cut(number, contents, rows_per_slice)
        return Shard(number, path, kind, stamps[path], contents.rows, names, slices)

    with ThreadPoolExecutor(_THREADS) as pool:
        return tuple(pool.map(look, stamps))
