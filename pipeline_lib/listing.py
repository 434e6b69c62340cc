"""The shards that a path, a folder, a glob or a list of these names."""

import glob
from typing import Any

from pipeline_lib.errors import InputError, InputNotReadyError, did_you_mean, listed
from pipeline_lib.shards import FORMATS, is_shard
from pipeline_lib.storage import FileStamp, faults_named, filesystem, full_name, stamp_of


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


def _under(path: str) -> dict[str, FileStamp]:
    fs, name = filesystem(path)
    with faults_named(path, "listing the input"):
        if glob.has_magic(path) and not fs.exists(name):
            entries = [info for info in fs.glob(name, detail=True).values() if info["type"] == "file"]
            root = name.split("*", 1)[0].rpartition("/")[0]
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
