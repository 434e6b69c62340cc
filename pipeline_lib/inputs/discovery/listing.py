"""The shards that a path, a folder, a glob or a list of these names."""

import glob
import os
from collections.abc import Iterable
from dataclasses import dataclass, field

from pipeline_lib.errors import InputError, InputNotReadyError, SettingsError, did_you_mean, listed
from pipeline_lib.inputs.discovery import globs
from pipeline_lib.inputs.discovery.folder_entries import (
    Entries,
    is_folder,
    refuse_irregular,
    refuse_unreadable_below,
)
from pipeline_lib.inputs.discovery.table_formats import refuse_tables
from pipeline_lib.inputs.shards import FORMATS, is_shard
from pipeline_lib.messages import count
from pipeline_lib.storage.location import FileStamp, Location, stamp_of
from pipeline_lib.storage.store_errors import translated_errors
from pipeline_lib.storage.urls import location_of

_PART = "part-00000-000000000.parquet"
"""A name as files of an output have."""


@dataclass
class Found:
    """What the paths of the input name."""

    stamps: dict[str, FileStamp] = field(default_factory=dict)
    """Every shard with its stamp."""
    notices: list[str] = field(default_factory=list)
    """What is there and is not read, though it is no error."""


def find_shards(paths: list[str], *, dated: bool) -> Found:
    """Return every shard under the paths, sorted by path, each once, and what the user should know of the rest.

    In folders and globs, files and folders whose names start with `_` or `.` are passed over, but for `_key=value`
    folders and for what a glob spells out. What becomes of any other file, `kinds.kind_of` tells in a table. A glob
    takes the files that fsspec's takes, a folder that is named like a shard with all files in it, as Spark writes
    them, and any folder if it ends with a slash. A file that is named outright must be a shard.

    Args:
        paths: as in `input.path`.
        dated: whether the paths were filled in with a date, so that a missing one may yet come.

    Raises:
        InputError: a path leads nowhere, to nothing that can be read, to data that would be missed, to a pipe or a
            device, or to a table whose log says which rows count.
        InputNotReadyError: it leads nowhere, where the path is that of a date.
    """
    whole = Found()
    for path in paths:
        here = _under(path)
        if not here.stamps:
            with translated_errors(path, "listing the input"):
                why = _why_nothing(path)
            missing = InputNotReadyError if dated else InputError
            raise missing(f"input.path: {'; '.join([why, *here.notices])}")
        whole.stamps |= here.stamps
        whole.notices += [notice for notice in here.notices if notice not in whole.notices]
    whole.stamps = dict(sorted(whole.stamps.items()))
    return whole


def list_shards(paths: list[str], *, dated: bool) -> dict[str, FileStamp]:
    """Return every shard under the paths with its stamp; see `find_shards`."""
    return find_shards(paths, dated=dated).stamps


def refuse_output_in_input(paths: list[str], output: str) -> None:
    """Check that the next run would not take this output for input.

    Raises:
        SettingsError: the output lies in a folder of the input, or a glob of the input matches it.
    """
    folder = location_of(output).url
    target = f"{folder}/{_PART}"
    for path in paths:
        where = location_of(path)
        start = where.url.rstrip("/")
        with translated_errors(path, "listing the input"):
            is_glob = _is_glob(path, where)
        if is_glob:
            inside = globs.takes(start, target) or _in_taken_folder(path, start, target)
        else:
            inside = target.startswith(start + "/") and not globs.has_hidden(target[len(start) :])
        if inside:
            raise SettingsError(
                f"output.path: {output!r} lies in input.path {path!r}, so the next run would read it as input; "
                "choose a folder elsewhere, or one whose name starts with '_'"
            )


def _in_taken_folder(path: str, pattern: str, target: str) -> bool:
    """Tell whether a glob takes a folder above a file, with all that is in it."""
    parts = target.split("/")
    for end in range(1, len(parts)):
        folder = "/".join(parts[:end])
        expanded = path.endswith("/") or is_shard(folder)
        if expanded and globs.takes(pattern, folder, folder=True) and not globs.has_hidden("/".join(parts[end:])):
            return True
    return False


def _is_glob(path: str, where: Location) -> bool:
    """Tell whether a path is a glob; one that is there literally is a name.

    Raises:
        InputError: it is a glob that can't be listed.
    """
    name = where.path
    if not glob.has_magic(name):
        return False
    if not name.startswith("/") and not globs.spelled_out(name):
        raise InputError(f"input.path: {path!r} does not spell out the bucket, and no store is read as a whole")
    if where.fs.exists(name):
        return False
    globs.check(name)
    return True


def _under(path: str) -> Found:
    where = location_of(path)
    with translated_errors(path, "listing the input"):
        if _is_glob(path, where):
            return _of_glob(path, where)
        if where.is_local and os.path.exists(where.path):
            refuse_irregular(where.path)
        if where.fs.isfile(where.path):
            if not is_shard(where.path):
                raise InputError(f"input.path: {path!r} is not one of {listed(FORMATS)}")
            return Found({where.url: where.stamp()})
        return _of_folder(path, where) if where.fs.isdir(where.path) else Found()


def _of_folder(path: str, where: Location) -> Found:
    entries = Entries(where)
    entries.add_folder(where.path)
    return _found(entries, path)


def _of_glob(path: str, where: Location) -> Found:
    entries, name = Entries(where), where.path
    if where.is_local:
        refuse_unreadable_below(name)
    matched = where.fs.glob(f"{name}/" if path.endswith("/") else name, detail=True)
    others = []
    for info in matched.values():
        entry, folder = str(info["name"]).rstrip("/"), is_folder(where, info)
        if not globs.takes(name, entry, folder=folder):
            continue
        if not folder:
            entries.add(info)
        elif path.endswith("/") or is_shard(entry):
            entries.add_folder(entry)
        else:
            others.append(entry)
    found = _found(entries, path)
    if not name.endswith(("/**", "/**/*")):  # these take what is in the folders too
        read = {folder for shard in entries.shards for folder in _folders_above(shard)}
        left = [where.url_of(folder) for folder in others if folder not in read]
        if left:
            found.notices.append(
                f"{path!r} matches {count(len(left), 'folder')} whose files are not read, as {listed(left, 1)}; "
                "end it with '/' to read all that is in the folders that it matches"
            )
    return found


def _found(entries: Entries, path: str) -> Found:
    """Return the shards among some entries, and what is to be said of the others.

    Raises:
        InputError: some of them look like data that would be missed.
    """
    where = entries.where
    refuse_tables(where, path, entries.seen, entries.shards)
    if entries.data:
        names = [where.url_of(name) for name in entries.data]
        endings = dict.fromkeys(
            ending for ending in FORMATS if any(s.lower().endswith(ending) for s in entries.shards)
        )
        folder = globs.spelled_out(path.rstrip("/"))
        which = listed(f"{folder}/**/*{ending}" for ending in endings or FORMATS)
        raise InputError(
            f"input.path: {path!r} holds {listed(names, 2)}, which look like data of kinds that are not read "
            f"({listed(FORMATS)} are); convert them, or leave them out with a glob such as {which}"
        )
    found = Found({where.url_of(name): stamp_of(info) for name, info in entries.shards.items()})
    if entries.unknown:
        names = [where.url_of(name) for name in entries.unknown]
        found.notices.append(f"not read, since their kind is not known: {listed(names, 3)}")
    if entries.links:
        found.notices.append(
            f"{listed(entries.links, 3)}: links to folders are not followed; name them in input.path to read them"
        )
    return found


def _folders_above(path: str) -> Iterable[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def _why_nothing(path: str) -> str:
    where = location_of(path)
    name = where.path
    if where.fs.isdir(name):
        return f"the folder {path!r} holds no shard ({listed(FORMATS)})"
    parent = name.rpartition("/")[0]
    near = did_you_mean(name, _names(where, parent) if not glob.has_magic(parent) else [])
    if not glob.has_magic(name):
        return f"no such file or folder: {path!r}{near}"
    brackets = "; a '[' in a name is written '[[]' in a glob" if "[" in path else ""
    return f"no file matches {path!r}{near}{brackets}"


def _names(where: Location, folder: str) -> list[str]:
    try:
        return [str(name) for name in where.fs.ls(folder, detail=False)]
    except (OSError, ValueError):
        return []
