"""Every file below a folder, from one listing, so that what stands is told without asking for file after file."""

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline_lib.storage import files as storage
from pipeline_lib.storage import s3


@dataclass(frozen=True, slots=True)
class Entry:
    """What a listing tells of a file."""

    size: int
    tag: str
    """The ETag where the store has one, else what changes when the file is written again, as far as can be told."""
    etag: bool = False
    """Whether the tag is the store's own checksum or version of the content."""
    regular: bool = True
    """Not a link, a device or a pipe."""


Tree = Mapping[str, Entry]
"""Files by their path below the folder."""


def files_below(fs: Any, folder: str) -> dict[str, Entry]:
    """Return every file below a folder; none where it is not there.

    Folders are no files, nor are the empty objects by whose names, which end in a slash, consoles show folders.

    Raises:
        FileNotFoundError: there is no such bucket.
        NotADirectoryError: it is a file.
    """
    if storage.is_local(fs):
        return dict(_on_disk(folder, "")) if os.path.lexists(folder) else {}
    if s3.is_s3(fs):
        return {
            name: Entry(size, etag, etag=bool(etag))
            for name, size, etag in s3.files_below(fs, folder)
            if name and not name.endswith("/")
        }
    try:
        found = fs.find(folder, detail=True).items()
    except FileNotFoundError:
        return {}
    entries = {str(path)[len(folder) :].lstrip("/"): info for path, info in found if info["type"] == "file"}
    return {name: _entry(info) for name, info in entries.items() if name}


def _entry(info: dict[str, Any]) -> Entry:
    stamp = storage.stamp_of(info)
    return Entry(stamp.size, stamp.tag, etag=stamp.etag)


def _on_disk(folder: str, below: str) -> Iterator[tuple[str, Entry]]:
    with os.scandir(folder) as found:
        for file in found:
            name = f"{below}{file.name}"
            if file.is_dir(follow_symlinks=False):
                yield from _on_disk(file.path, f"{name}/")
                continue
            try:
                status = file.stat(follow_symlinks=False)
            except FileNotFoundError:  # removed meanwhile
                continue
            tag = f"{status.st_mtime_ns}-{status.st_ctime_ns}-{status.st_ino}"
            yield name, Entry(status.st_size, tag, regular=stat.S_ISREG(status.st_mode))
