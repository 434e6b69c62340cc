"""Checks of the columns of the input, and notices about them: a wrong setting is an error before work starts."""

from collections import Counter
from collections.abc import Mapping

import pyarrow as pa

from pipeline_lib.errors import InputError
from pipeline_lib.inputs import columns
from pipeline_lib.inputs.column_names import listed_columns, nearest_column, quoted_columns
from pipeline_lib.inputs.hive_partitions import partition_keys
from pipeline_lib.inputs.shards import format_of, is_shard
from pipeline_lib.settings.sections.input import InputSettings


def is_text(kind: pa.DataType) -> bool:
    """Tell whether a column of this type holds texts; one of the type null is no error, though it holds none."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return is_plain_text(kind) or pa.types.is_null(kind)


def is_plain_text(kind: pa.DataType) -> bool:
    """Tell whether a type is one of strings, and no dictionary."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def check_text_columns(path: str, schema: pa.Schema, texts: list[str], settings: InputSettings) -> None:
    """Check that a shard has the text columns, no two columns of one name, and none of the job's own names.

    Raises:
        InputError: it has not, or a column of `input.csv.column_types` is missing.
    """
    repeated = [name for name, count in Counter(schema.names).items() if count > 1]
    if repeated:
        raise InputError(f"{path!r} has several columns named {quoted_columns(*repeated[:3])}")
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
    taken = sorted(name for name in schema.names if name in columns.INTERNAL or name.startswith(columns.TRUTH))
    if taken:
        raise InputError(f"{path!r}: the column names {quoted_columns(*taken)} are reserved; rename them")
    unknown = sorted(set(settings.csv.column_types) - set(schema.names))
    if unknown and is_shard(path) and format_of(path) == "csv":
        near = nearest_column(unknown[0], schema.names)
        raise InputError(f"input.csv.column_types: {path!r} has no column {unknown[0]!r}{near}")


def check_kept_columns(schemas: Mapping[str, pa.Schema], names: list[str]) -> None:
    """Check that every shard has the columns that `input.keep_columns` names.

    A JSON Lines file may lack a key that others have, since it has only those of its rows.

    Raises:
        InputError: a shard lacks one.
    """
    somewhere = {name for schema in schemas.values() for name in schema.names}
    for path, schema in schemas.items():
        for name in names:
            may_lack = name in somewhere and is_json(path)
            if name not in schema.names and not may_lack:
                folder = name in partition_keys(path)
                near = "; see input.partition_columns" if folder else nearest_column(name, schema.names)
                raise InputError(f"input.keep_columns: {path!r} has no column {name!r}{near}")


def check_truth_column(schemas: Mapping[str, pa.Schema], settings: InputSettings) -> None:
    """Check that every shard has the column of `input.truth_column`, with values that can stand for labels.

    Args:
        schemas: every shard's schema by path, with its partition columns.
        settings: which may name no such column.

    Raises:
        InputError: a shard has none.
    """
    name = settings.truth_column
    somewhere = any(name in schema.names for schema in schemas.values())
    for path, schema in schemas.items() if name else ():
        if name not in schema.names:
            if somewhere and is_json(path):
                continue
            folder = name in partition_keys(path)
            near = "; see input.partition_columns" if folder else nearest_column(str(name), schema.names)
            raise InputError(
                f"input.truth_column: {path!r} has no column {name!r}{near} (it has {listed_columns(schema.names)})"
            )
        kind = schema.field(name).type
        if not _may_be_truth(kind):
            raise InputError(
                f"input.truth_column: column {name!r} of {path!r} is {kind}; it must be text, numbers or booleans"
            )


def is_json(path: str) -> bool:
    """Tell whether a shard is one of JSON Lines; the schema may also be that of a table in memory."""
    return is_shard(path) and format_of(path) == "jsonl"


def _may_be_truth(kind: pa.DataType) -> bool:
    types = pa.types
    is_number = types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)
    return bool(is_text(kind) or is_number or (types.is_dictionary(kind) and types.is_integer(kind.value_type)))


def check_output_names(kept: tuple[tuple[str, pa.Field], ...]) -> None:
    """Check that no two kept columns have the same name in the output.

    Raises:
        InputError: two have.
    """
    outputs = [field.name for _, field in kept]
    clash = sorted({name for name in outputs if outputs.count(name) > 1})
    if clash:
        raise InputError(f"two kept columns would be named {clash[0]!r}; leave one out with input.keep_columns")


def column_notices(schemas: Mapping[str, pa.Schema], kept: tuple[tuple[str, pa.Field], ...]) -> tuple[str, ...]:
    """Return notices about kept columns that are renamed, alike but for case, or not in every shard."""
    renamed = [
        f"column {name!r} is kept as {field.name!r}, since {name.casefold()!r} is a column of the output"
        for name, field in kept
        if name != field.name
    ]
    outputs = [field.name for _, field in kept]
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
        f"column {quoted_columns(name)} is in {there:,} of {len(schemas):,} shards and null for the others"
        for name, _ in kept
        if (there := sum(name in schema.names for schema in schemas.values())) < len(schemas)
    ]
    return (*renamed, *alike, *partial)
