"""Plan: look at every shard, the checkpoint and what already stands, and decide what is to be done."""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from pipeline_lib import columns, formats, standing, storage
from pipeline_lib.config import InputSettings, Settings
from pipeline_lib.errors import InputError, OutputError, did_you_mean, listed
from pipeline_lib.examiner import examine
from pipeline_lib.layout import Layout, is_text, unified
from pipeline_lib.listing import list_shards
from pipeline_lib.manifest import STAGING, Manifest, Receipt
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
    published = _published(settings, version)
    numbers, receipts = _earlier(settings, version, published)
    shards = _shards(stamps, numbers, settings)
    whole, broken = _standing(settings, shards, receipts)
    _refuse_lost_shards(published, shards)
    return Plan(settings, checkpoint, layout, fingerprint, version, shards, whole, published, notices, broken)


def _for_every_worker(settings: Settings) -> Settings:
    """Return settings whose paths mean the same wherever a worker runs: relative ones made absolute."""
    model, output = settings.model, settings.output
    output = output.model_copy(update={"path": storage.full_name(*storage.filesystem(output.path))})
    if os.path.isdir(model.name):
        model = model.model_copy(update={"name": os.path.abspath(model.name)})
    return settings.model_copy(update={"model": model, "output": output})


def lay_out(schemas: Mapping[str, pa.Schema], settings: InputSettings) -> tuple[Layout, tuple[str, ...]]:
    """Return the layout of the output, and what the user should know of it.

    Args:
        schemas: every shard's path and columns.
        settings: which columns are text and which are kept.

    Raises:
        InputError: a column is missing, is no text, repeats, or has types that can't be one column.
    """
    texts = [name for name in (settings.text_column, settings.text_pair_column) if name]
    for path, schema in schemas.items():
        _check_texts(path, schema, texts, settings)
    everywhere = list(dict.fromkeys(name for schema in schemas.values() for name in schema.names))
    if settings.keep_columns is None:
        names = [name for name in everywhere if name not in texts]
    else:
        names = settings.keep_columns
        _check_kept(schemas, names)
    kept = tuple((name, _kept_field(schemas, name)) for name in names)
    return Layout(kept), _notices(schemas, kept)


def _schemas(stamps: Mapping[str, storage.FileStamp], settings: InputSettings) -> dict[str, pa.Schema]:
    def look(path: str) -> pa.Schema:
        return formats.schema_of(path, format_of(path), settings.csv)

    with ThreadPoolExecutor(_THREADS) as pool:
        return dict(zip(stamps, pool.map(look, stamps), strict=True))


def _check_texts(path: str, schema: pa.Schema, texts: list[str], settings: InputSettings) -> None:
    for name, key in zip(texts, ("text_column", "text_pair_column"), strict=False):
        if name not in schema.names:
            near = did_you_mean(name, schema.names)
            raise InputError(f"input.{key}: {path!r} has no column {name!r}{near} (it has {listed(schema.names)})")
        if not is_text(schema.field(name).type):
            raise InputError(
                f"input.{key}: column {name!r} of {path!r} is {schema.field(name).type}; "
                "it must be string, large_string or a dictionary of these"
            )
    taken = sorted(set(columns.INTERNAL) & set(schema.names))
    if taken:
        raise InputError(f"{path!r}: the column names {listed(taken)} are reserved; rename them")
    repeated = sorted({name for name in schema.names if schema.names.count(name) > 1})
    if repeated:
        raise InputError(f"{path!r} has several columns named {listed(repeated)}")
    unknown = sorted(set(settings.csv.column_types) - set(schema.names))
    if unknown and format_of(path) == "csv":
        near = did_you_mean(unknown[0], schema.names)
        raise InputError(f"input.csv.column_types: {path!r} has no column {unknown[0]!r}{near}")


def _check_kept(schemas: Mapping[str, pa.Schema], names: list[str]) -> None:
    for path, schema in schemas.items():
        for name in names:
            if name not in schema.names:
                near = did_you_mean(name, schema.names)
                raise InputError(f"input.keep_columns: {path!r} has no column {name!r}{near}")


def _kept_field(schemas: Mapping[str, pa.Schema], name: str) -> pa.Field:
    fields = [(path, schema.field(name)) for path, schema in schemas.items() if name in schema.names]
    field = unified(fields)
    if isinstance(field, pa.Field):
        return pa.field(columns.output_name(name), field.type)
    kinds = dict(fields)
    found = "; ".join(f"{kinds[path].type} in {path!r}" for path in field)
    raise InputError(f"column {name!r} has types that can't be one column: {found}; see input.keep_columns")


def _notices(schemas: Mapping[str, pa.Schema], kept: tuple[tuple[str, pa.Field], ...]) -> tuple[str, ...]:
    renamed = [
        f"column {name!r} is kept as {field.name!r}, since {name!r} is a column of the output"
        for name, field in kept
        if name != field.name
    ]
    outputs = [field.name for _, field in kept]
    clash = sorted({name for name in outputs if outputs.count(name) > 1})
    if clash:
        raise InputError(f"two kept columns would be named {clash[0]!r}; leave one out with input.keep_columns")
    partial = [
        f"column {name!r} is in {there:,} of {len(schemas):,} shards and null for the others"
        for name, _ in kept
        if (there := sum(name in schema.names for schema in schemas.values())) < len(schemas)
    ]
    return (*renamed, *partial)


def _published(settings: Settings, version: str) -> Manifest | None:
    """Return what is published, if it is of this version.

    Raises:
        OutputError: another version is published, or the folder holds data that no manifest names.
    """
    fs, folder = storage.filesystem(settings.output.path)
    with storage.faults_named(settings.output.path, "looking at the output"):
        success = standing.read_success(fs, folder)
        manifest = standing.read_manifest(fs, folder)
        if success and success.version != version:
            raise OutputError(
                f"{settings.output.path!r} holds version {success.version}, this would be {version}: the "
                "checkpoint or a setting differs; choose another output.path or remove what is there"
            )
        if manifest is None and not fs.exists(f"{folder}/{STAGING}") and fs.exists(folder):
            strangers = [str(name).rsplit("/", 1)[-1] for name in fs.ls(folder, detail=False)]
            strangers = [name for name in strangers if not name.startswith(("_", "."))]
            if strangers:
                raise OutputError(
                    f"{settings.output.path!r} already holds {listed(sorted(strangers), 3)}, which this job did "
                    "not write; choose a folder of its own"
                )
    return manifest if success and manifest and manifest.version == version else None


def _earlier(settings: Settings, version: str, published: Manifest | None) -> tuple[dict[str, int], list[Receipt]]:
    """Return the shard numbers already given, and the receipts of earlier attempts at this version."""
    fs, folder = storage.filesystem(settings.output.path)
    with storage.faults_named(settings.output.path, "looking for earlier work"):
        manifest = published or standing.read_manifest(fs, folder)
        receipts = list(manifest.slices) if manifest and manifest.version == version else []
        receipts += standing.staged_receipts(fs, folder, version)
    newest = {(receipt.shard, receipt.first_row): receipt for receipt in receipts}
    return {receipt.path: receipt.shard for receipt in receipts}, list(newest.values())


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


def _standing(
    settings: Settings, shards: tuple[Shard, ...], receipts: list[Receipt]
) -> tuple[tuple[Receipt, ...], tuple[str, ...]]:
    """Return the receipts whose slice is still wanted and whose files verify, and the files that don't."""
    wanted = {
        (shard.number, shard.path, shard.stamp.size, shard.stamp.tag, part.first_row, part.rows)
        for shard in shards
        for part in shard.slices
    }
    candidates = [r for r in receipts if (r.shard, r.path, r.size, r.tag, r.first_row, r.rows) in wanted]
    fs, folder = storage.filesystem(settings.output.path)
    with storage.faults_named(settings.output.path, "verifying earlier work"):
        checked = list(standing.check_all(fs, folder, candidates))
    whole = tuple(receipt for receipt, broken in checked if not broken)
    return whole, tuple(name for _, broken in checked for name in broken)


def _refuse_lost_shards(published: Manifest | None, shards: tuple[Shard, ...]) -> None:
    lost = {record.path for record in published.shards} - {s.path for s in shards} if published else set()
    if lost:
        raise OutputError(
            f"the output holds rows of {listed(sorted(lost), 3)}, which the input no longer has; "
            "bring them back or choose another output.path"
        )
