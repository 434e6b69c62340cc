"""The shards that a path, a folder, a glob or a list of these names."""

import glob
import re
from typing import Any

from fsspec.utils import glob_translate

from pipeline_lib.errors import InputError, InputNotReadyError, SettingsError, did_you_mean, listed
from pipeline_lib.shards import FORMATS, is_shard
from pipeline_lib.storage import FileStamp, faults_named, filesystem, full_name, stamp_of

_PART = "part-00000-000000000.parquet"
"""A name as files of an output have."""


def list_shards(paths: list[str], *, dated: bool) -> dict[str, FileStamp]:
    """Return every shard under the paths with its stamp, sorted by path, each once.

    In folders and globs, files and folders whose names start with `_` or `.` are passed over, as are files that
    are no Parquet and no CSV; a file that is named outright must be one of these.

    Args:
        paths: as in `input.path`.
        dated: whether the paths were filled in with a date, so that a missing one may yet come.

    Raises:
        InputError: a path leads nowhere or to nothing that can be read.
        InputNotReadyError: likewise, where the path is that of a date.
    """
    found: dict[str, FileStamp] = {}
    for path in paths:
        here = _under(path)
        if not here:
            missing = InputNotReadyError if dated else InputError
            raise missing(f"input.path: {_why_nothing(path)}")
        found |= here
    return dict(sorted(found.items()))


def refuse_output_in_input(paths: list[str], output: str) -> None:
    """Check that the next run would not take this output for input.

    Raises:
        SettingsError: the output lies in a folder of the input, or a glob of the input matches it.
    """
    part = "/" + _PART
    target = full_name(*filesystem(output)) + part
    for path in paths:
        fs, name = filesystem(path)
        start = full_name(fs, name).rstrip("/")
        root, inside = start + "/", target.startswith(start + "/")
        if glob.has_magic(path) and not fs.exists(name):
            root, inside = _root_of(start), bool(re.match(glob_translate(start), target))
        if inside and not _hidden(target[len(root) :]):
            raise SettingsError(
                f"output.path: {output!r} lies in input.path {path!r}, so the next run would read it as input; "
                "choose a folder elsewhere, or one whose name starts with '_'"
            )


def _under(path: str) -> dict[str, FileStamp]:
    fs, name = filesystem(path)
    with faults_named(path, "listing the input"):
        if glob.has_magic(path) and not fs.exists(name):
            entries = [info for info in fs.glob(name, detail=True).values() if info["type"] == "file"]
            root = _root_of(name)
        elif fs.isfile(name):
            if not is_shard(name):
                raise InputError(f"input.path: {path!r} is not one of {listed(FORMATS)}")
            return {full_name(fs, name): stamp_of(fs.info(name))}
        elif fs.isdir(name):
            entries, root = list(fs.find(name, detail=True).values()), name
        else:
            return {}
    return {
        full_name(fs, info["name"]): stamp_of(info)
        for info in entries
        if is_shard(info["name"]) and not _hidden(str(info["name"])[len(root) :])
    }


def _root_of(pattern: str) -> str:
    """Return the folder above a glob's first star."""
    return pattern.split("*", 1)[0].rpartition("/")[0]


def _hidden(path: str) -> bool:
    return any(part.startswith(("_", ".")) for part in path.split("/") if part)


def _why_nothing(path: str) -> str:
    fs, name = filesystem(path)
    if fs.isdir(name):
        return f"the folder {path!r} holds no shard ({listed(FORMATS)})"
    parent = name.rpartition("/")[0]
    near = _names(fs, parent) if not glob.has_magic(parent) else []
    what = "no file matches" if glob.has_magic(path) else "no such file or folder:"
    return f"{what} {path!r}{did_you_mean(name, near)}"


def _names(fs: Any, folder: str) -> list[str]:
    try:
        return [str(name) for name in fs.ls(folder, detail=False)]
    except (OSError, ValueError):
        return []
