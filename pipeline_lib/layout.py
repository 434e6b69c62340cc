"""Which columns the output has, in types that hold every shard's values exactly."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from pipeline_lib import columns
from pipeline_lib.config import OutputSettings


@dataclass(frozen=True)
class Layout:
    """Which of the user's columns are published, and in which types, whatever shard they come from."""

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

    def reject_schema(self) -> pa.Schema:
        """Return the schema of the rejects."""
        return pa.schema([*columns.reject_fields(), *self.kept_fields])


def unified(fields: Sequence[tuple[str, pa.Field]]) -> pa.Field | tuple[str, str]:
    """Return one field that holds every shard's column exactly, or the paths of two that disagree.

    Only what loses nothing is unified: a null-typed column joins any type, and the widths of strings join.

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
    """Tell whether a column of this type holds texts; a null-typed one holds none, which is no error."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return _is_plain_text(kind) or pa.types.is_null(kind)


def _is_plain_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))
