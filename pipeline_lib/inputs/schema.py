"""The schema of the output: its columns, in types that hold the values of every shard exactly."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from pipeline_lib.errors import InputError
from pipeline_lib.inputs import columns
from pipeline_lib.inputs.column_names import listed_columns, nearest_column, shown
from pipeline_lib.inputs.hive_partitions import partition_keys
from pipeline_lib.inputs.shards import format_of, is_shard
from pipeline_lib.settings.settings import InputSettings, OutputSettings


@dataclass(frozen=True)
class OutputSchema:
    """The columns of the input that are published, with one type for all shards."""

    kept: tuple[tuple[str, pa.Field], ...]
    """(name in the shards, field in the output), in the order of the output."""

    @property
    def kept_fields(self) -> list[pa.Field]:
        """The fields of the kept columns in the output."""
        return [output for _, output in self.kept]

    def scored_schema(self, output: OutputSettings) -> pa.Schema:
        """Return the schema of the parts."""
        added = columns.score_fields(scores=output.scores == "all", logits=output.logits)
        return pa.schema([*self.kept_fields, *added])

    def reject_schema(self, output: OutputSettings) -> pa.Schema:
        """Return the schema of the rejects."""
        return pa.schema([*columns.reject_fields(texts=output.rejected_texts), *self.kept_fields])


def unified_field(fields: Sequence[tuple[str, pa.Field]]) -> pa.Field | tuple[str, str]:
    """Return one field that holds every shard's column exactly, or the paths of two that disagree.

    Types are unified only where no value changes: null with any type, and string with large_string.

    Args:
        fields: (path of the shard, its field), at least one.
    """
    (first_path, first), *others = fields
    for path, other in others:
        if first.type == other.type or pa.types.is_null(other.type):
            continue
        if pa.types.is_null(first.type):
            first_path, first = path, other
        elif _is_plain_text(first.type) and _is_plain_text(other.type):
            first = first.with_type(pa.large_string())
        else:
            return first_path, path
    return pa.field(first.name, first.type)


def is_text(kind: pa.DataType) -> bool:
    """Tell whether a column of this type holds texts; one of the type null is no error, though it holds none."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return _is_plain_text(kind) or pa.types.is_null(kind)


def _is_plain_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def unify_schemas(
    schemas: Mapping[str, pa.Schema], settings: InputSettings, partitions: Sequence[str] = ()
) -> tuple[OutputSchema, tuple[str, ...]]:
    """Return the schema of the output, and notices about it for the user.

    Args:
        schemas: every shard's schema by path, with its partition columns.
        settings: name the text columns and those to keep.
        partitions: names of partition columns, which are kept even if `keep_columns` does not name them.

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
        names = [*settings.keep_columns, *(name for name in partitions if name not in settings.keep_columns)]
        _check_kept(schemas, settings.keep_columns)
    kept = tuple((name, _kept_field(schemas, name)) for name in names)
    return OutputSchema(kept), _notices(schemas, kept)


def _check_texts(path: str, schema: pa.Schema, texts: list[str], settings: InputSettings) -> None:
    repeated = [name for name, count in Counter(schema.names).items() if count > 1]
    if repeated:
        raise InputError(f"{path!r} has several columns named {shown(*repeated[:3])}")
    for name, key in zip(texts, ("text_column", "text_pair_column"), strict=False):
        if name not in schema.names:
            near = nearest_column(name, schema.names)
            columns_there = listed_columns(schema.names)
            # The schema may also be that of a table in memory.
            hint = len(schema) == 1 and is_shard(path) and format_of(path) == "csv"
            raise InputError(
                f"input.{key}: {path!r} has no column {name!r}{near} (it has {columns_there})"
                + ("; is input.csv.delimiter right?" if hint else "")
            )
        if not is_text(schema.field(name).type):
            raise InputError(
                f"input.{key}: column {name!r} of {path!r} is {schema.field(name).type}; "
                "it must be string, large_string or a dictionary of these"
            )
    taken = sorted(set(columns.INTERNAL) & set(schema.names))
    if taken:
        raise InputError(f"{path!r}: the column names {shown(*taken)} are reserved; rename them")
    unknown = sorted(set(settings.csv.column_types) - set(schema.names))
    if unknown and format_of(path) == "csv":
        near = nearest_column(unknown[0], schema.names)
        raise InputError(f"input.csv.column_types: {path!r} has no column {unknown[0]!r}{near}")


def _check_kept(schemas: Mapping[str, pa.Schema], names: list[str]) -> None:
    for path, schema in schemas.items():
        for name in names:
            if name not in schema.names:
                folder = name in partition_keys(path)
                near = "; see input.partition_columns" if folder else nearest_column(name, schema.names)
                raise InputError(f"input.keep_columns: {path!r} has no column {name!r}{near}")


def _kept_field(schemas: Mapping[str, pa.Schema], name: str) -> pa.Field:
    fields = [(path, schema.field(name)) for path, schema in schemas.items() if name in schema.names]
    field = unified_field(fields)
    if isinstance(field, pa.Field):
        return pa.field(columns.output_name(name), field.type)
    kinds = dict(fields)
    types = "; ".join(f"{kinds[path].type} in {path!r}" for path in field)
    raise InputError(f"column {shown(name)} has types that can't be one column: {types}; see input.keep_columns")


def _notices(schemas: Mapping[str, pa.Schema], kept: tuple[tuple[str, pa.Field], ...]) -> tuple[str, ...]:
    renamed = [
        f"column {name!r} is kept as {field.name!r}, since {name.casefold()!r} is a column of the output"
        for name, field in kept
        if name != field.name
    ]
    outputs = [field.name for _, field in kept]
    clash = sorted({name for name in outputs if outputs.count(name) > 1})
    if clash:
        raise InputError(f"two kept columns would be named {clash[0]!r}; leave one out with input.keep_columns")
    by_name: dict[str, list[str]] = {}
    for name in outputs:
        by_name.setdefault(name.casefold(), []).append(name)
    alike = [
        f"the columns {listed_columns(names)} differ by case alone, which DuckDB, Spark and Athena don't "
        "tell apart; see input.keep_columns"
        for names in by_name.values()
        if len(names) > 1
    ]
    partial = [
        f"column {shown(name)} is in {there:,} of {len(schemas):,} shards and null for the others"
        for name, _ in kept
        if (there := sum(name in schema.names for schema in schemas.values())) < len(schemas)
    ]
    return (*renamed, *alike, *partial)
