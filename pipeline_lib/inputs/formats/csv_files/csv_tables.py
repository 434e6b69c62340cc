"""Tables of CSV records: texts become columns of their declared types, and records with a fault become rejects."""

from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from pipeline_lib.inputs import columns
from pipeline_lib.inputs.formats.csv_files.csv_records import Record

ARROW_TYPES: dict[str, pa.DataType] = {
    "string": pa.string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "date32": pa.date32(),
    "timestamp": pa.timestamp("us"),
    "timestamp_utc": pa.timestamp("us", "UTC"),  # for texts with an offset or a Z
}
"""By their names in `input.csv.column_types`."""


def checked(record: Record, schema: pa.Schema) -> Record:
    """Return a record that is a row of this schema, or one that has a fault and no fields."""
    fault = record.fault or _fault(record, schema)
    return replace(record, fields=[], fault=fault) if fault else record


def to_table(rows: list[Record], schema: pa.Schema, names: Sequence[str]) -> pa.Table:
    """Return the named columns, the line numbers and the rejects of checked records.

    Args:
        rows: the records; one whose value is not of its column's type gets a fault.
        schema: of the whole shard.
        names: of the wanted columns.
    """
    blank = [""] * len(schema)
    filled = [blank if row.fault else row.fields for row in rows]
    arrays = {}
    for name in names:
        at = schema.get_field_index(name)
        texts = pa.array([fields[at] for fields in filled], pa.string())
        arrays[name] = _typed(texts, schema.field(name), rows)
    valid = pa.array([row.fault is None for row in rows])
    arrays = {name: pc.if_else(valid, array, pa.scalar(None, array.type)) for name, array in arrays.items()}
    arrays[columns.LINE] = pa.array([row.line + 1 for row in rows], pa.int64())
    arrays[columns.REJECT_CODE] = pa.array([row.fault and row.fault[0] for row in rows], pa.string())
    arrays[columns.REJECT_MESSAGE] = pa.array([row.fault and row.fault[1] for row in rows], pa.string())
    return pa.table(arrays)


def _fault(row: Record, schema: pa.Schema) -> tuple[str, str] | None:
    if len(row.fields) != len(schema):
        return "ragged", f"line {row.line + 1} has {len(row.fields)} fields, the header has {len(schema)}"
    if any(map(has_lost_bytes, row.fields)):
        return "not_decodable", f"line {row.line + 1} holds bytes that the encoding does not have"
    return None


def _typed(texts: pa.Array, field: pa.Field, rows: list[Record]) -> pa.Array:
    """Return a column in its declared type; a value of another type makes its row a reject."""
    if pa.types.is_string(field.type):
        return texts
    filled = pc.if_else(pc.equal(texts, ""), None, texts)
    try:
        return filled.cast(field.type)
    except pa.ArrowInvalid:
        return pa.concat_arrays([_cast_one(filled[at : at + 1], field, row) for at, row in enumerate(rows)])


def _cast_one(text: pa.Array, field: pa.Field, row: Record) -> pa.Array:
    try:
        return text.cast(field.type)
    except pa.ArrowInvalid:
        row.fault = ("bad_value", f"line {row.line + 1}: column {field.name!r} holds no {field.type}")
        return pa.nulls(1, field.type)


def has_lost_bytes(text: str) -> bool:
    """Tell whether a text has bytes that the encoding does not have, which Python decodes to lone surrogates."""
    return not text.isascii() and any("\udc80" <= character <= "\udcff" for character in text)
