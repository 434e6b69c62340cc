"""The kept column by which people know a row again."""

import pyarrow as pa

from pipeline_lib.comparing.published import Published
from pipeline_lib.errors import SettingsError, did_you_mean, listed
from pipeline_lib.inputs import columns

_LONGEST_ID = 80


def id_column(first: Published, second: Published, name: str | None) -> str | None:
    """Return the column of both outputs that names their rows, or None if there is none.

    Args:
        first: one output.
        second: the other one.
        name: what the user calls it; None takes `id`, or the only column that ends in `_id`.

    Raises:
        SettingsError: there is no such column, or it holds the texts, which are never shown.
    """
    added = {*first.added_columns.values(), *second.added_columns.values()}
    kept = [each for each in first.manifest.columns if each in second.manifest.columns and each not in added]
    texts = _text_columns(first) | _text_columns(second)
    if name is not None:
        if name in texts:
            raise SettingsError(f"--id: {name!r} holds the texts, which are never shown; name another kept column")
        if name not in kept:
            raise SettingsError(
                f"--id: {name!r} is not a kept column of both outputs; these are {listed(kept)}"
                f"{did_you_mean(name, kept)}"
            )
        return name
    named = [each for each in kept if each.casefold() == "id" and each not in texts]
    ending = [each for each in kept if each.casefold().endswith("_id") and each not in texts]
    return next(iter(named or (ending if len(ending) == 1 else [])), None)


def ids_of(table: pa.Table, name: str) -> pa.Array:
    """Return the ids of rows as strings, of which the longest are cut.

    Types that have no text, such as lists, are shown as Python does.
    """
    column = table.column(name).combine_chunks()
    if isinstance(column, pa.ChunkedArray):  # without rows, or of a type that Arrow does not combine
        column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    try:
        return column.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pa.array([None if value is None else repr(value) for value in column.to_pylist()], pa.string())


def shown_id(value: str) -> str:
    """Return an id, cut to what fits on a line."""
    return value if len(value) <= _LONGEST_ID else value[: _LONGEST_ID - 1] + "…"


def _text_columns(output: Published) -> set[str]:
    """Return the names under which an output may have its texts."""
    settings = output.manifest.settings.get("input", {})
    names = [settings.get("text_column"), settings.get("text_pair_column")]
    return {columns.output_name(name, asked) for name in names if name for asked in ((), columns.OPTIONAL)}
