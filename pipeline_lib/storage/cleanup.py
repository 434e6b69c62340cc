"""Cleanup of an output folder: partial files of crashed runs go, files that do not belong there are set aside."""

import contextlib
import itertools
import re
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline_lib.storage.location import Files, Location
from pipeline_lib.storage.records import ASIDE, JOINED, REJECTS, RUNS, STAGING, VERSION_KEY, Manifest

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}\.tmp")
_PART = re.compile(r"part-\d{5,}-\d{9,}\.parquet")


def foreign_files(output: Location, manifest: Manifest | None, files: Files) -> list[str]:
    """Return the files that readers would see and that this program did not write."""
    return [name for name in existing_unlisted_files(output, manifest, files) if not _is_own_part(output, name)]


def remove_partial_files(output: Location, version: str) -> None:
    """Remove the partial files that crashed runs left on a disk; a store has none."""
    staging = output / STAGING / version
    folders = [each for above in (output, staging, staging / JOINED) for each in (above, above / REJECTS)]
    if output.is_local:
        for folder in (*folders, output / RUNS):
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
        names = (f"{flat}.{number}" for number in itertools.count())
        # The listing of a store may lack what was set aside a moment ago.
        name = next(name for name in names if name not in taken and (aside / name).stamp_now() is None)
        with contextlib.suppress(FileNotFoundError):
            (folder / file).move_to(aside / name)
            taken.add(name)


def remove_unlisted_files(output: Location, manifest: Manifest, former: Manifest | None, files: Files) -> None:
    """Leave readers only the manifest's files: old parts of this program are removed, foreign files set aside.

    Args:
        output: the folder.
        manifest: what readers shall see.
        former: what they saw before, if anything: a listing may lack some of it.
        files: a listing of the folder.
    """
    unseen = _files_of(former) - _files_of(manifest) - files.keys()
    for name in [*unlisted_files(manifest, files), *(name for name in unseen if (output / name).stamp_now())]:
        if _is_own_part(output, name):
            (output / name).remove()
        else:
            set_aside(output, output, [name])
    remove_probes(output, files)


def remove_probes(output: Location, files: Files) -> None:
    """Remove what a killed run left that tried whether a store's writes may be conditional."""
    for name in probes(files):
        (output / name).remove()


def probes(files: Files) -> list[str]:
    """Return the names of files that are there for a moment only, unless a run is killed."""
    return [name for name in files if _TEMPORARY.fullmatch(name)]


def remove_staging(output: Location, version: str | None = None, known: Iterable[str] = ()) -> None:
    """Remove the staged files of one version, or of all, once they are published.

    Args:
        output: the folder.
        version: None for all.
        known: paths below `_staging/` of files that a listing may lack.
    """
    staging = output / STAGING
    if version:
        (staging / version).remove_tree()
    if not version or not staging.names():
        staging.remove_tree(known)


def unlisted_files(manifest: Manifest | None, files: Files) -> list[str]:
    """Return the files that readers of the folder see and that the manifest does not name."""
    named = _files_of(manifest)
    return sorted(name for name in files if name not in named and _is_visible(name))


def existing_unlisted_files(output: Location, manifest: Manifest | None, files: Files) -> list[str]:
    """Return the unlisted files that exist: the listing of a store may show what was removed a moment ago."""
    names = unlisted_files(manifest, files)
    return names if output.is_local else [name for name in names if (output / name).stamp_now()]


def _files_of(manifest: Manifest | None) -> set[str]:
    return {file.file for file in manifest.published_files} if manifest else set()


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
