"""Types of the columns of JSON Lines: one for all values of a key, or text where values are of several kinds."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

_MOST_INTEGER = 2**63


def merged(first: pa.DataType, second: pa.DataType) -> pa.DataType:
    """Return the type that holds the values of both: numbers together, else texts."""
    if first == second or pa.types.is_null(second):
        return first
    if pa.types.is_null(first):
        return second
    is_number = {first, second} == {pa.int64(), pa.float64()}
    return pa.float64() if is_number else pa.string()


def types_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, pa.DataType]:
    """Return the type of each key of some objects, in the order in which keys come first.

    Args:
        rows: objects as Python's `json` reads them.
    """
    try:
        found = pa.array(rows)
    except (pa.ArrowException, OverflowError, UnicodeEncodeError, ValueError, TypeError):
        return _types_one_by_one(rows)
    types = {field.name: _flat(field.type) for field in found.type} if pa.types.is_struct(found.type) else {}
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: types[name] for name in names}


def column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Return values of a key as a column of its type; those of another kind as JSON texts, where that is text."""
    if pa.types.is_string(kind):
        return pa.array([_text(value) for value in values], kind)
    if pa.types.is_floating(kind):
        return pa.array([None if value is None else float(value) for value in values], kind)
    return pa.array(values, kind)


def is_encodable(values: Iterable[Any]) -> bool:
    """Tell whether all texts among some values are Unicode; JSON can name halves of characters, which are not."""
    try:
        for value in values:
            if isinstance(value, str):
                value.encode()
            elif isinstance(value, (dict, list)):
                _text(value).encode()  # type: ignore[union-attr] # it is no null
    except UnicodeEncodeError:
        return False
    return True


def _flat(kind: pa.DataType) -> pa.DataType:
    """Return the type of a column; lists and objects are kept as JSON texts."""
    return pa.string() if pa.types.is_nested(kind) else kind


def _types_one_by_one(rows: Iterable[Mapping[str, Any]]) -> dict[str, pa.DataType]:
    types: dict[str, pa.DataType] = {}
    for row in rows:
        for name, value in row.items():
            types[name] = merged(types.get(name, pa.null()), _type_of(value))
    return types


def _type_of(value: Any) -> pa.DataType:
    if value is None:
        return pa.null()
    if isinstance(value, bool):
        return pa.bool_()
    if isinstance(value, int):
        return pa.int64() if -_MOST_INTEGER <= value < _MOST_INTEGER else pa.string()
    return pa.float64() if isinstance(value, float) else pa.string()


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
