"""Delta, Iceberg and Hudi tables: their log says which rows of their files are deleted, so they are refused."""

import re
from collections.abc import Iterable

from pipeline_lib.errors import InputError
from pipeline_lib.machine.parallel import in_threads
from pipeline_lib.storage.location import Location

_LOGS = {"_delta_log": "a Delta table", ".hoodie": "a Hudi table"}
_ICEBERG = re.compile(r"(.*/)?metadata/[^/]+\.metadata\.json")


def refuse_table_formats(location: Location, path: str, names: Iterable[str], shards: Iterable[str]) -> None:
    """Check that the files of a listing do not belong to such a table.

    Args:
        location: any location in the same file system.
        path: as in `input.path`.
        names: every file of the listing, hidden ones too.
        shards: the files that would be read; the log of their table may be in a folder above the listing.

    Raises:
        InputError: they belong to a table of Delta, Iceberg or Hudi.
    """
    log = next(filter(None, map(_log_of, names)), None)
    if log is None:
        roots = sorted(set(map(_root, shards)))
        log = next(filter(None, in_threads(lambda root: _log_in(location, root), roots)), None)
    if log:
        name, table = log
        raise InputError(
            f"input.path: {path!r} holds files of {table} ({name!r}), whose log says which of their rows were "
            "deleted; export the table to Parquet, or list the files one by one"
        )


def _log_of(name: str) -> tuple[str, str] | None:
    parts = name.split("/")
    for at, part in enumerate(parts[:-1]):
        if part in _LOGS:
            return "/".join(parts[: at + 1]), _LOGS[part]
    return (name, "an Iceberg table") if _ICEBERG.fullmatch(name) else None


def _log_in(location: Location, root: str) -> tuple[str, str] | None:
    """Return the log in the folder of a table, or beside the folder `data` that Iceberg writes files into."""
    for name, table in _LOGS.items():
        if _exists(location, f"{root}/{name}"):
            return f"{root}/{name}", table
    above, _, last = root.rpartition("/")
    for folder in (root, above) if last == "data" and above else (root,):
        if _exists(location, f"{folder}/metadata"):
            metadata = location.fs.glob(f"{folder}/metadata/*.metadata.json")
            if metadata:
                return str(metadata[0]), "an Iceberg table"
    return None


def _root(shard: str) -> str:
    """Return the folder of a shard, above the `key=value` folders."""
    folders = shard.split("/")[:-1]
    while len(folders) > 1 and "=" in folders[-1]:
        folders.pop()
    return "/".join(folders)


def _exists(location: Location, path: str) -> bool:
    try:
        return bool(location.fs.exists(path))
    except PermissionError:  # without permission it can't be known
        return False
