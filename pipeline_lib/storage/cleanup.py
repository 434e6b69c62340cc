"""Cleanup of an output folder: partial files of crashed runs go, files that do not belong there are set aside."""

import contextlib
import re
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline_lib.storage.location import Files, Location
from pipeline_lib.storage.records import ASIDE, REJECTS, RUNS, STAGING, VERSION_KEY, Manifest

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}\.tmp")
_PART = re.compile(r"part-\d{5,}-\d{9,}\.parquet")


def foreign_files(output: Location, manifest: Manifest | None, files: Files) -> list[str]:
    """Return the files that readers would see and that this program did not write."""
    return [name for name in unlisted_files(manifest, files) if not _is_own_part(output, name)]


def remove_partial_files(output: Location, version: str) -> None:
    """Remove the partial files that crashed runs left on a disk; a store has none."""
    staging = output / STAGING / version
    if output.is_local:
        for folder in (output, output / REJECTS, output / RUNS, staging, staging / REJECTS):
            for name in folder.names():
                if _TEMPORARY.fullmatch(name):
                    (folder / name).remove()


def set_aside(output: Location, folder: Location, names: Iterable[str]) -> None:
    """Move unexpected files of a folder of the output to `_aside/`, where no reader looks.

    A file that no longer exists is no error.
    """
    aside = output / ASIDE
    taken: set[str] | None = None
    for file in names:
        if taken is None:
            taken = set(aside.names())
        flat = file.replace("/", "-")
        name = next(f"{flat}.{count}" for count in range(len(taken) + 1) if f"{flat}.{count}" not in taken)
        with contextlib.suppress(FileNotFoundError):
            (folder / file).move_to(aside / name)
            taken.add(name)


def remove_unlisted_files(output: Location, manifest: Manifest, files: Files) -> None:
    """Leave readers only the manifest's files: old parts of this program are removed, foreign files set aside."""
    for name in unlisted_files(manifest, files):
        if _is_own_part(output, name):
            (output / name).remove()
        else:
            set_aside(output, output, [name])
    for name in files:
        if _TEMPORARY.fullmatch(name):
            (output / name).remove()


def remove_staging(output: Location, version: str | None = None) -> None:
    """Remove the staged files of one version, or of all, once they are published."""
    staging = output / STAGING
    if version:
        (staging / version).remove_tree()
    if not version or not staging.names():
        staging.remove_tree()


def unlisted_files(manifest: Manifest | None, files: Files) -> list[str]:
    """Return the files that readers of the folder see and that the manifest does not name."""
    listed = {file.file for receipt in manifest.slices for file in receipt.files} if manifest else set()
    return sorted(name for name in files if name not in listed and _is_visible(name))


def _is_visible(name: str) -> bool:
    """Return whether readers see a file: it is a reject, or neither the file nor its top folder is hidden."""
    first, _, below = name.partition("/")
    if first == REJECTS and below:
        return not below.startswith(".")
    return not first.startswith(("_", "."))


def _is_own_part(output: Location, name: str) -> bool:
    """Return whether a file was written by this program, by its name and by the version in its footer."""
    if not _PART.fullmatch(name.removeprefix(f"{REJECTS}/")):
        return False
    try:
        with (output / name).open() as file:
            return VERSION_KEY.encode() in (pq.read_schema(file).metadata or {})
    except (pa.ArrowException, OSError):
        return False
