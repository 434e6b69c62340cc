"""The listing of the input: which shards a path, a folder, a glob or a list of these names."""

import glob
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from pipeline_lib.errors import InputError, InputNotReadyError, did_you_mean, listed
from pipeline_lib.inputs.discovery import globs
from pipeline_lib.inputs.discovery.listed_files import ListedFiles
from pipeline_lib.inputs.discovery.local_files import is_folder, refuse_irregular, refuse_unreadable_below
from pipeline_lib.inputs.shards import READABLE, is_shard
from pipeline_lib.messages import count
from pipeline_lib.storage.location import FileStamp, Location, stamp_of
from pipeline_lib.storage.s3 import error_code
from pipeline_lib.storage.store_errors import translated_errors
from pipeline_lib.storage.urls import location_of


@dataclass
class DiscoveredShards:
    """The shards that paths of the input name."""

    stamps: dict[str, FileStamp] = field(default_factory=dict)
    """Every shard's stamp, by path."""
    notices: list[str] = field(default_factory=list)
    """For the user: files that are not read, though that is no error."""


def find_shards(
    paths: list[str], *, dated: bool, locate: Callable[[str], Location] = location_of
) -> DiscoveredShards:
    """Return every shard under the paths, sorted by path and each once, with notices about files that are not read.

    In folders and globs, files and folders whose names start with `_` or `.` are skipped, except `_key=value`
    folders and names that a glob spells out. `file_kinds.file_kind` has a table of what happens to every other
    file. A glob takes the files that fsspec's takes, a folder that is named like a shard with all files in it, as
    Spark writes them, and any folder if it ends with a slash. A file that is named outright must be a shard.

    Args:
        paths: as in `input.path`.
        dated: whether a date was filled in, so that a missing path may come later.
        locate: returns the location of a path.

    Raises:
        InputError: a path leads nowhere, to nothing that can be read, to data of a kind that is not read, to a pipe
            or a device, or to a table whose log says which rows count.
        InputNotReadyError: a path leads nowhere, and a date was filled in.
    """
    shards = DiscoveredShards()
    for path in paths:
        here = _shards_under(path, locate(path))
        if not here.stamps:
            with translated_errors(path, "listing the input"):
                why = _why_nothing(path, locate(path))
            missing = InputNotReadyError if dated else InputError
            raise missing(f"input.path: {'; '.join([why, *here.notices])}")
        shards.stamps |= here.stamps
        shards.notices += [notice for notice in here.notices if notice not in shards.notices]
    shards.stamps = dict(sorted(shards.stamps.items()))
    return shards


def _shards_under(path: str, location: Location) -> DiscoveredShards:
    with translated_errors(path, "listing the input"):
        if globs.is_glob(path, location):
            return _matching(path, location)
        if location.is_local and os.path.exists(location.path):
            refuse_irregular(location.path)
        if _is_file(location):
            if not is_shard(location.path):
                raise InputError(f"input.path: {path!r} is not one of {READABLE}")
            return DiscoveredShards({location.url: location.stamp()})
        return _in_folder(path, location) if location.fs.isdir(location.path) else DiscoveredShards()


def _is_file(location: Location) -> bool:
    """Tell whether a path is a file; fsspec itself takes a store that fails for a missing file."""
    if location.is_local:
        return bool(location.fs.isfile(location.path))
    try:
        return bool(location.fs.info(location.path)["type"] == "file")
    except OSError as error:
        # Such an answer has none of S3's codes; what a person must correct is told by the listing that comes next.
        if error_code(error).startswith("5"):
            raise
        return False


def _in_folder(path: str, location: Location) -> DiscoveredShards:
    files = ListedFiles(location)
    files.add_folder(location.path)
    return _shards_among(files, path)


def _matching(path: str, location: Location) -> DiscoveredShards:
    """Return the shards that a glob matches, and those in folders that it matches and that are to be expanded."""
    files, pattern = ListedFiles(location), location.path
    if location.is_local:
        refuse_unreadable_below(pattern)
    matched = location.fs.glob(f"{pattern}/" if path.endswith("/") else pattern, detail=True)
    other_folders = []
    for info in matched.values():
        entry, folder = str(info["name"]).rstrip("/"), is_folder(location, info)
        if not globs.takes(pattern, entry, folder=folder):
            continue
        if not folder:
            files.add(info)
        elif path.endswith("/") or is_shard(entry):
            files.add_folder(entry)
        else:
            other_folders.append(entry)
    shards = _shards_among(files, path)
    if not pattern.endswith(("/**", "/**/*")):  # these take the files in the folders too
        read = {folder for shard in files.shards for folder in _folders_above(shard)}
        unread = [location.url_of(folder) for folder in other_folders if folder not in read]
        if unread:
            number = count(len(unread), "folder")
            shards.notices.append(
                f"{path!r} matches {number} whose files are not read, as {listed(unread, 1)}; "
                "end it with '/' to read all that is in the folders that it matches"
            )
    return shards


def _shards_among(files: ListedFiles, path: str) -> DiscoveredShards:
    files.refuse_other_data(path)
    stamps = {files.location.url_of(name): stamp_of(info) for name, info in files.shards.items()}
    return DiscoveredShards(stamps, files.notices)


def _folders_above(path: str) -> Iterable[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def _why_nothing(path: str, location: Location) -> str:
    name = location.path
    if location.fs.isdir(name):
        return f"the folder {path!r} holds no shard ({READABLE})"
    parent = name.rpartition("/")[0]
    near = did_you_mean(name, _names_in(location, parent) if not glob.has_magic(parent) else [])
    if not glob.has_magic(name):
        return f"no such file or folder: {path!r}{near}"
    brackets = "; a '[' in a name is written '[[]' in a glob" if "[" in path else ""
    return f"no file matches {path!r}{near}{brackets}"


def _names_in(location: Location, folder: str) -> list[str]:
    try:
        return [str(name) for name in location.fs.ls(folder, detail=False)]
    except (OSError, ValueError):
        return []
