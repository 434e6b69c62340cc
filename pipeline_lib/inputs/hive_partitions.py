"""Partition columns: their values are in names of folders, as Hive and Spark write them: `ds=2026-11-22/a.pq`."""

from collections.abc import Iterable, Mapping
from urllib.parse import unquote

import pyarrow as pa

from pipeline_lib.errors import InputError, did_you_mean, listed
from pipeline_lib.settings.sections.input import InputSettings

_NULL = "__HIVE_DEFAULT_PARTITION__"


def partition_values(path: str, settings: InputSettings) -> dict[str, str | None]:
    """Return the values of the `key=value` folders of a shard's path that the settings keep, in their order.

    Keys and values are decoded as in URLs, since Hive and Spark encode them so; Hive's name for null becomes null.

    Raises:
        InputError: a kept key is in the path twice, or is not UTF-8.
    """
    wanted = settings.partition_columns
    if not wanted:
        return {}
    values: dict[str, str | None] = {}
    for key, value in _folders(path):
        if wanted != "all" and key not in wanted:
            continue
        if key in values:
            raise InputError(f"input.partition_columns: {path!r} has two folders {f'{key}=...'!r}")
        values[key] = None if value == _NULL else value
    return values if wanted == "all" else {key: values[key] for key in wanted if key in values}


def with_partitions(
    schemas: Mapping[str, pa.Schema], settings: InputSettings
) -> tuple[dict[str, pa.Schema], tuple[str, ...]]:
    """Return every shard's schema with its partition columns, and the names of all partition columns.

    Args:
        schemas: every shard's path and columns.
        settings: which are kept.

    Raises:
        InputError: a folder that the settings name is missing, or has the name of a column of the shard.
    """
    extended: dict[str, pa.Schema] = {}
    # Most shards have the same schema and keys: their new schema is made once.
    cache: dict[tuple[int, tuple[str, ...]], pa.Schema] = {}
    names: dict[str, None] = {}
    for path, schema in schemas.items():
        keys = tuple(partition_values(path, settings))
        if (id(schema), keys) not in cache:
            _check(path, schema, keys, settings)
            cache[id(schema), keys] = pa.schema([*schema, *((key, pa.string()) for key in keys)])
        extended[path] = cache[id(schema), keys]
        names |= dict.fromkeys(keys)
        for key in settings.partition_columns or () if settings.partition_columns != "all" else ():
            if key not in keys:
                near = did_you_mean(key, [other for other, _ in _folders(path)])
                raise InputError(f"input.partition_columns: {path!r} has no folder {f'{key}=...'!r}{near}")
    return extended, tuple(names)


def notices(paths: Iterable[str], settings: InputSettings) -> tuple[str, ...]:
    """Return a notice about `key=value` folders that are not kept, except those that `input.path` spells out."""
    if settings.partition_columns == "all":
        return ()
    spelled = {folder for path in settings.paths for folder in path.split("/")}
    kept = set(settings.partition_columns or ())
    left: dict[str, None] = {}
    for path in paths:
        folders = [folder for folder in path.split("/")[:-1] if "=" in folder and folder not in spelled]
        left |= {key: None for key, _ in map(_split, folders) if key and key not in kept}
    if not left:
        return ()
    names = listed((f"{key}=..." for key in left), 4)
    return (f"the folders {names} are not kept as columns; see input.partition_columns",)


def partition_keys(path: str) -> list[str]:
    """Return the keys of the `key=value` folders of a shard's path."""
    return [key for key, _ in _folders(path)]


def _check(path: str, schema: pa.Schema, keys: tuple[str, ...], settings: InputSettings) -> None:
    columns = {name.casefold(): name for name in schema.names}
    for key in keys:
        if key.casefold() in columns:
            raise InputError(
                f"input.partition_columns: {path!r} has a column {columns[key.casefold()]!r} of its own beside the "
                f"folder {f'{key}=...'!r}; keep one of them"
            )
        if key in {settings.text_column, settings.text_pair_column}:
            raise InputError(f"input.text_column: {key!r} is a folder of {path!r}, and no column")
        if key in settings.csv.column_types:
            raise InputError(f"input.csv.column_types: {key!r} is a folder of {path!r}, whose values are text")


def _folders(path: str) -> list[tuple[str, str]]:
    try:
        return [(key, value) for key, value in map(_split, path.split("/")[:-1]) if key]
    except UnicodeDecodeError:
        raise InputError(f"{path!r}: the name of a folder is not UTF-8 when its %XX are decoded") from None


def _split(folder: str) -> tuple[str, str]:
    """Return the key and the value of a folder; an empty key for one that has none."""
    key, equals, value = folder.partition("=")
    return (unquote(key, errors="strict"), unquote(value, errors="strict")) if equals else ("", "")
