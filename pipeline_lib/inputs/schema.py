"""The schema of the output: its columns, in types that hold the values of every shard exactly."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from pipeline_lib.errors import InputError
from pipeline_lib.inputs import columns
from pipeline_lib.inputs.column_checks import (
    check_kept_columns,
    check_output_names,
    check_text_columns,
    column_notices,
    is_json,
    is_plain_text,
)
from pipeline_lib.inputs.column_names import quoted_columns
from pipeline_lib.inputs.formats.json_files.json_types import merged
from pipeline_lib.settings.sections.input import InputSettings
from pipeline_lib.settings.sections.output import OutputSettings
from pipeline_lib.settings.settings import Settings


@dataclass(frozen=True)
class OutputSchema:
    """The columns of the input that are published, with one type for all shards."""

    kept: tuple[tuple[str, pa.Field], ...]
    """(name in the shards, field in the output), in the order of the output."""

    @property
    def kept_fields(self) -> list[pa.Field]:
        """The fields of the kept columns in the output."""
        return [output for _, output in self.kept]

    def scored_schema(self, settings: Settings, embedding_width: int) -> pa.Schema:
        """Return the schema of the parts; the arguments are those of `columns.published_fields`."""
        return pa.schema([*self.kept_fields, *columns.published_fields(settings, embedding_width)])

    def reject_schema(self, output: OutputSettings) -> pa.Schema:
        """Return the schema of the rejects."""
        return pa.schema([*columns.reject_fields(texts=output.rejected_texts), *self.kept_fields])


def unified_field(fields: Sequence[tuple[str, pa.Field]]) -> pa.Field | tuple[str, str]:
    """Return one field that holds every shard's column exactly, or the paths of two that disagree.

    Types are unified only where no value changes: null with any type, and string with large_string. Types of JSON
    are those of the values that happen to be there, so that numbers go together, and anything with texts.

    Args:
        fields: (path of the shard, its field), at least one.
    """
    (first_path, first), *others = fields
    for path, other in others:
        if first.type == other.type or pa.types.is_null(other.type):
            continue
        if pa.types.is_null(first.type):
            first_path, first = path, other
        elif is_plain_text(first.type) and is_plain_text(other.type):
            first = first.with_type(pa.large_string())
        elif is_json(first_path) and is_json(path):
            first = first.with_type(merged(first.type, other.type))
        else:
            return first_path, path
    return pa.field(first.name, first.type)


def unify_schemas(
    schemas: Mapping[str, pa.Schema],
    settings: InputSettings,
    partitions: Sequence[str] = (),
    asked: Collection[str] = (),
) -> tuple[OutputSchema, tuple[str, ...]]:
    """Return the schema of the output, and notices about it for the user.

    Args:
        schemas: every shard's schema by path, with its partition columns.
        settings: name the text columns and those to keep.
        partitions: names of partition columns, which are kept even if `keep_columns` does not name them.
        asked: names that the output has by its settings, from `columns.asked_columns`.

    Raises:
        InputError: a column is missing, is no text, repeats, or has types that can't be one column.
    """
    texts = [name for name in (settings.text_column, settings.text_pair_column) if name]
    for path, schema in schemas.items():
        check_text_columns(path, schema, texts, settings)
    everywhere = list(dict.fromkeys(name for schema in schemas.values() for name in schema.names))
    if settings.keep_columns is None:
        names = [name for name in everywhere if name not in texts]
    else:
        names = [*settings.keep_columns, *(name for name in partitions if name not in settings.keep_columns)]
        check_kept_columns(schemas, settings.keep_columns)
    kept = tuple((name, _kept_field(schemas, name, asked)) for name in names)
    check_output_names(kept)
    return OutputSchema(kept), column_notices(schemas, kept)


def _kept_field(schemas: Mapping[str, pa.Schema], name: str, asked: Collection[str]) -> pa.Field:
    fields = [(path, schema.field(name)) for path, schema in schemas.items() if name in schema.names]
    field = unified_field(fields)
    if isinstance(field, pa.Field):
        return pa.field(columns.output_name(name, asked), field.type)
    kinds = dict(fields)
    types = "; ".join(f"{kinds[path].type} in {path!r}" for path in field)
    raise InputError(
        f"column {quoted_columns(name)} has types that can't be one column: {types}; see input.keep_columns"
    )
