"""Tables whose log says which rows of their files count: read as plain files, deleted rows would be scored."""

import re
from collections.abc import Iterable

from pipeline_lib.errors import InputError
from pipeline_lib.machine.parallel import in_threads
from pipeline_lib.storage.location import Location

_LOGS = {"_delta_log": "a Delta table", ".hoodie": "a Hudi table"}
_ICEBERG = re.compile(r"(.*/)?metadata/[^/]+\.metadata\.json")


def refuse_table_formats(location: Location, path: str, seen: Iterable[str], shards: Iterable[str]) -> None:
    """Check that what was found in a folder or by a glob are plain files.

    Args:
        location: any location in the same file system.
        path: as in `input.path`.
        seen: every file that the listing showed, hidden ones too.
        shards: those that would be read; the log of their table may lie above what was listed.

    Raises:
        InputError: they belong to a table of Delta, Iceberg or Hudi.
    """
    log = next(filter(None, map(_log_of, seen)), None)
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
    """Look for a log in the folder of a table, or beside the folder `data` that Iceberg writes files into."""
    for name, table in _LOGS.items():
        if _exists(location, f"{root}/{name}"):
            return f"{root}/{name}", table
    above, _, last = root.rpartition("/")
    for folder in (root, above) if last == "data" and above else (root,):
        if _exists(location, f"{folder}/metadata"):
            found = location.fs.glob(f"{folder}/metadata/*.metadata.json")
            if found:
                return str(found[0]), "an Iceberg table"
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
    except PermissionError:  # who may not look there can't know
        return False
