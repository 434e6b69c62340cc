"""The files of many nights by one listing: the records of their outputs, and the shards of their inputs."""

import glob
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pipeline_lib.errors import InputError, InputNotReadyError
from pipeline_lib.inputs.discovery.listing import find_shards
from pipeline_lib.machine.parallel import in_threads
from pipeline_lib.planning.provenance import input_stamp
from pipeline_lib.storage.location import Files, Location, stamp_of
from pipeline_lib.storage.records import LEASE, RUNS, SUCCESS
from pipeline_lib.storage.snapshots import Snapshot
from pipeline_lib.storage.store_errors import translated_errors
from pipeline_lib.storage.urls import location_of

Locate = Callable[[str], Location]


@dataclass(frozen=True)
class NightInput:
    """The input of a night as it is now."""

    shards: int
    stamp: str
    """See `planning.provenance.input_stamp`."""
    error: str | None = None
    """Why it can't be read; None where it can, or is not there yet."""


def list_outputs(urls: Sequence[str]) -> list[Files]:
    """Return the files of each output folder that tell how its night went; in a store by one listing for all.

    Raises:
        NightscoreError: the storage failed, or there is no such bucket.
    """
    locations = [location_of(url) for url in urls]
    with translated_errors(urls[0], "looking at the outputs"):
        if locations[0].is_local:
            return list(in_threads(_files_on_disk, locations))
        folders = [f"{location.path.rstrip('/')}/" for location in locations]
        shared = os.path.commonprefix(folders)  # noqa: RUF071 - stores list by any beginning of a key
        if "/" not in shared:  # each night has a bucket of its own
            return [location.files() for location in locations]
        listed = {str(entry["name"]): entry for entry in locations[0].entries_from(shared)}
    by_folder: dict[str, Files] = {folder: {} for folder in folders}
    for path, entry in listed.items():
        # The folders of nights may lie at any depth, and the path below them may have folders too.
        for end in (at + 1 for at, letter in enumerate(path) if letter == "/"):
            if path[:end] in by_folder:
                by_folder[path[:end]][path[end:]] = stamp_of(entry)
    return [by_folder[folder] for folder in folders]


def list_inputs(nights: Sequence[Sequence[str]], *, dated: bool) -> list[NightInput]:
    """Return the input of each night; in a store by one listing for all nights.

    Args:
        nights: the paths of each night, as in `input.path` with the date filled in; as many for each night.
        dated: whether a date was filled in.

    Raises:
        NightscoreError: the storage failed.
    """
    locate = [_locate_of([paths[at] for paths in nights]) for at in range(len(nights[0]))]
    cache: dict[tuple[str, ...], NightInput] = {}
    for paths in nights:
        by_path = dict(zip(paths, locate, strict=True))
        key = tuple(paths)
        if key not in cache:
            cache[key] = _input_of(paths, by_path, dated=dated)
    return [cache[tuple(paths)] for paths in nights]


def _input_of(paths: Sequence[str], locate: Mapping[str, Locate], *, dated: bool) -> NightInput:
    try:
        found = find_shards(list(paths), dated=dated, locate=lambda path: locate[path](path))
    except InputNotReadyError:
        return NightInput(0, "")
    except InputError as error:
        return NightInput(0, "", str(error))
    return NightInput(len(found.stamps), input_stamp(paths, found.stamps))


def _locate_of(paths: Sequence[str]) -> Locate:
    """Return what finds the location of each path of one setting: in a snapshot of the store, or on the disk."""
    locations = [location_of(path) for path in paths]
    first = locations[0]
    shared = os.path.commonprefix([_spelled(location.path) for location in locations])  # noqa: RUF071 - as above
    if first.is_local or "/" not in shared:
        return location_of
    with translated_errors(paths[0], "listing the input"):
        try:
            entries = first.entries_from(shared)
        except FileNotFoundError:
            entries = []
    snapshot = Snapshot(entries, first)
    return lambda path: Location(snapshot, location_of(path).path)


def _spelled(path: str) -> str:
    """Return what all files of a path or a glob begin with."""
    if not glob.has_magic(path):
        return path
    return path[: next(at for at, letter in enumerate(path) if letter in "*?[")]


def _files_on_disk(folder: Location) -> Files:
    runs = folder / RUNS
    files = {} if os.path.islink(runs.path) else {f"{RUNS}/{name}": stamp for name, stamp in runs.files().items()}
    for name in (SUCCESS, LEASE):
        file = folder / name
        if os.path.isfile(file.path) and not os.path.islink(file.path):
            files[name] = file.stamp()
    return files
