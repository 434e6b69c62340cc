"""Files and folders on a disk that can't be listed, or that would block whoever reads them."""

import os
import stat
from typing import Any

from pipeline_lib.errors import InputError
from pipeline_lib.inputs.discovery import globs
from pipeline_lib.storage.location import Location

_IRREGULAR = (
    (stat.S_ISFIFO, "named pipe"),
    (stat.S_ISSOCK, "socket"),
    (stat.S_ISCHR, "device"),
    (stat.S_ISBLK, "device"),
)


def is_folder(location: Location, info: dict[str, Any]) -> bool:
    """Tell whether an entry of a listing is a folder or a link to one."""
    if info["type"] == "directory":
        return True
    return location.is_local and info["type"] != "file" and os.path.isdir(info["name"])


def refuse_unreadable(folder: str) -> None:
    """Refuse a folder that may not be listed; fsspec would leave it out without an error.

    Raises:
        InputError: access is denied.
    """
    if not os.access(folder, os.R_OK | os.X_OK):
        raise InputError(f"input.path: the folder {folder!r} can't be read: permission denied")


def refuse_unreadable_below(pattern: str) -> None:
    """Refuse folders that may not be listed and that a glob leads through.

    Raises:
        InputError: there is one.
    """
    root = globs.spelled_out(pattern)
    for above, folders, _ in os.walk(root or "/"):
        refuse_unreadable(above)
        folders[:] = [name for name in folders if globs.leads_through(pattern, f"{above.rstrip('/')}/{name}")]
        for name in folders:
            refuse_unreadable(os.path.join(above, name))


def refuse_irregular(name: str) -> None:
    """Refuse a file that would block or never end when it is read.

    Raises:
        InputError: it is a pipe, a socket or a device.
    """
    mode = os.stat(name).st_mode
    for is_kind, kind in _IRREGULAR:
        if is_kind(mode):
            raise InputError(f"input.path: {name!r} is a {kind}; shards must be regular files")
