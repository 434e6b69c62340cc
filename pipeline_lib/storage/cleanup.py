"""What dead runs and strangers left in an output folder: ours is cleaned, the rest is set aside."""

import contextlib
import re
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline_lib.storage import files as storage
from pipeline_lib.storage.file_tree import Tree
from pipeline_lib.storage.records import ASIDE, REJECTS, RUNS, STAGING, VERSION_KEY, Manifest

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}\.tmp")
_PART = re.compile(r"part-\d{5,}-\d{9,}\.parquet")


def strangers(fs: Any, folder: str, manifest: Manifest | None, files: Tree) -> list[str]:
    """Return the files that readers would see and that neither the manifest nor a dead run explains."""
    return [name for name in unknown(manifest, files) if not _is_ours(fs, folder, name)]


def clear(fs: Any, folder: str, version: str, broken: Iterable[str]) -> None:
    """Clean what dead runs left half written, and set staged files aside that don't verify."""
    staging = f"{folder}/{STAGING}/{version}"
    if storage.is_local(fs):  # an object store has nothing half written
        for place in (folder, f"{folder}/{REJECTS}", f"{folder}/{RUNS}", staging, f"{staging}/{REJECTS}"):
            for name in storage.names_in(fs, place):
                if _TEMPORARY.fullmatch(name):
                    storage.remove(fs, f"{place}/{name}")
    set_aside(fs, folder, broken, staging)


def set_aside(fs: Any, folder: str, files: Iterable[str], place: str) -> None:
    """Move files that are not what they should be where no reader looks; those that are not there are no error."""
    taken: set[str] | None = None
    for file in files:
        if taken is None:
            taken = set(storage.names_in(fs, f"{folder}/{ASIDE}"))
        flat = file.replace("/", "-")
        name = next(f"{flat}.{count}" for count in range(len(taken) + 1) if f"{flat}.{count}" not in taken)
        with contextlib.suppress(FileNotFoundError):
            storage.move(fs, f"{place}/{file}", f"{folder}/{ASIDE}/{name}")
            taken.add(name)


def sweep(fs: Any, folder: str, manifest: Manifest, files: Tree) -> None:
    """Leave readers the manifest's files and nothing else: our own old parts go, a stranger's are set aside."""
    for name in unknown(manifest, files):
        if _is_ours(fs, folder, name):
            storage.remove(fs, f"{folder}/{name}")
        else:
            set_aside(fs, folder, [name], folder)
    for name in files:
        if _TEMPORARY.fullmatch(name):
            storage.remove(fs, f"{folder}/{name}")


def remove_staging(fs: Any, folder: str, version: str | None = None) -> None:
    """Remove the staged files of one version, or of all; call it when what they hold is published."""
    storage.remove_folder(fs, f"{folder}/{STAGING}/{version}" if version else f"{folder}/{STAGING}")
    if version and not storage.names_in(fs, f"{folder}/{STAGING}"):
        storage.remove_folder(fs, f"{folder}/{STAGING}")


def unknown(manifest: Manifest | None, files: Tree) -> list[str]:
    """Return the files that readers of the folder see and that the manifest does not name."""
    known = {file.file for receipt in manifest.slices for file in receipt.files} if manifest else set()
    return sorted(name for name in files if name not in known and _is_seen(name))


def _is_seen(name: str) -> bool:
    """Tell whether readers see a file: one below no folder of ours but that of the rejects, and not hidden."""
    first, _, below = name.partition("/")
    if first == REJECTS and below:
        return not below.startswith(".")
    return not first.startswith(("_", "."))


def _is_ours(fs: Any, folder: str, name: str) -> bool:
    """Tell whether a file was written by this program: by its name, and by the version in its footer."""
    if not _PART.fullmatch(name.removeprefix(f"{REJECTS}/")):
        return False
    try:
        with storage.open_ours(fs, f"{folder}/{name}") as file:
            return VERSION_KEY.encode() in (pq.read_schema(file).metadata or {})
    except (pa.ArrowException, OSError):
        return False
