"""Globs: they match the files that fsspec's own do, except hidden ones."""

import functools
import glob
import re

from fsspec.utils import glob_translate

from pipeline_lib.errors import InputError
from pipeline_lib.storage.location import Location

_MAGIC = re.compile(r"[*?[]")


def is_hidden(name: str, *, folder: bool) -> bool:
    """Tell whether a file or folder is skipped because of its name.

    A folder such as `_year=2026` is a column's value, as it is for Spark.
    """
    return name.startswith((".", "_")) and not (folder and name.startswith("_") and "=" in name)


def has_hidden(path: str, *, folder: bool = False) -> bool:
    """Tell whether a path, relative to a folder that is named outright, is hidden or in a hidden folder."""
    *folders, name = path.strip("/").split("/")
    return is_hidden(name, folder=folder) or any(is_hidden(above, folder=True) for above in folders)


def spelled_out(pattern: str) -> str:
    """Return the folder that a glob spells out before it leaves anything open; all of a path that is no glob."""
    parts = pattern.split("/")
    return "/".join(parts[: next((at for at, part in enumerate(parts) if _MAGIC.search(part)), len(parts))])


def is_glob(path: str, location: Location) -> bool:
    """Tell whether a path is a glob; a path that exists as it is written is none.

    Args:
        path: as in `input.path`, for messages.
        location: the location of that path.

    Raises:
        InputError: it is a glob that can't be listed.
    """
    name = location.path
    if not glob.has_magic(name):
        return False
    if not name.startswith("/") and not spelled_out(name):
        raise InputError(f"input.path: {path!r} does not spell out the bucket, and no store is read as a whole")
    if location.fs.exists(name):
        return False
    _refuse_unreadable(name)
    return True


def _refuse_unreadable(pattern: str) -> None:
    """Refuse a glob that fsspec can't read, since it has `**` within the name of a file or folder."""
    for part in pattern.split("/"):
        if "**" in part and part != "**":
            raise InputError(
                f"input.path: {pattern!r} has {part!r} in it; '**' stands for whole folders, as in 'in/**/*.csv'"
            )


def takes(pattern: str, path: str, *, folder: bool = False) -> bool:
    """Tell whether a glob takes a path.

    As in a shell, `*`, `?`, `[...]` and `[!...]` stand for characters of one name, `**` for any number of
    folders, and neither of them for the `.` or the `_` that a hidden name begins with: a hidden file or folder is
    taken only where the pattern spells at least that character, as `in/_old/*.parquet` does. Braces are plain
    characters.

    Args:
        pattern: the glob, from the root of its file system.
        path: a file's path there, or a folder's without the last slash.
        folder: whether it is a folder.
    """
    return pattern.count("/") + 1 in _reached(pattern, path, folder=folder)


def leads_through(pattern: str, folder: str) -> bool:
    """Tell whether a glob may take something in a folder, whose path is given from the root of its file system."""
    return bool(_reached(pattern, folder, folder=True) - {pattern.count("/") + 1})


def _reached(pattern: str, path: str, *, folder: bool) -> set[int]:
    """Return how many parts of a pattern the names of a path may stand for."""
    wanted, names = pattern.split("/"), path.split("/")
    # A `**` in the middle may stand for no folder at all; at the end it stands for at least one name.
    skipped = wanted if folder else wanted[:-1]
    reached = _past_stars(skipped, {0})
    for at, name in enumerate(names):
        hidden = is_hidden(name, folder=folder or at < len(names) - 1)
        new = set()
        for index in reached - {len(wanted)}:
            part = wanted[index]
            if part == "**":
                new |= set() if hidden else {index, index + 1}
            elif not (hidden and _MAGIC.match(part)) and _translated(part).match(name):
                new.add(index + 1)
        reached = _past_stars(skipped, new)
    return reached


def _past_stars(skipped: list[str], reached: set[int]) -> set[int]:
    """Add the places in the pattern that are reached without a name."""
    more = set(reached)
    for index, part in enumerate(skipped):
        if index in more and part == "**":
            more.add(index + 1)
    return more


@functools.lru_cache(maxsize=1024)
def _translated(part: str) -> re.Pattern[str]:
    return re.compile(glob_translate(part))
