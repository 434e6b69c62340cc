"""What listings of the input show: shards, data of other kinds, and what must not be read."""

import os
import stat
from dataclasses import dataclass, field
from typing import Any

from pipeline_lib.errors import InputError
from pipeline_lib.inputs.discovery import globs
from pipeline_lib.inputs.discovery.file_kinds import kind_of
from pipeline_lib.storage.location import Location


@dataclass
class Entries:
    """What listings show, by what becomes of it."""

    where: Location
    """The location that is listed."""
    seen: list[str] = field(default_factory=list)
    """All files, hidden ones too."""
    shards: dict[str, dict[str, Any]] = field(default_factory=dict)
    data: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    """Those to folders, which are not followed."""

    def add_folder(self, root: str) -> None:
        """Add all that is below a folder and not hidden."""
        below = self.where.fs.find(root, detail=True, withdirs=self.where.is_local)
        self.seen += below
        for info in below.values():
            name = str(info["name"])
            rest = name[len(root) :].strip("/")
            if not rest or globs.has_hidden(rest, folder=is_folder(self.where, info)):
                continue
            if info["type"] == "directory":
                _refuse_unreadable(name)
            else:
                self.add(info)

    def add(self, info: dict[str, Any]) -> None:
        """Add what is no folder, unless it is known not to matter."""
        name, kind = str(info["name"]), kind_of(str(info["name"]))
        self.seen.append(name)
        if name.endswith("/") or kind == "companion":  # consoles of stores show empty files as folders
            return
        if self.where.is_local and (info["type"] != "file" or info.get("islink")):
            if os.path.isdir(name):
                self.links.append(name)
                return
            info = self._followed(info)
        if kind == "shard":
            self.shards[name] = info
        else:
            kept = self.data if kind == "data" else self.unknown
            kept.append(name)

    def _followed(self, info: dict[str, Any]) -> dict[str, Any]:
        """Return what a link leads to, as a look at the shard will show it later."""
        if not os.path.exists(info["name"]):
            return info  # a link to nothing, as reading it will tell
        refuse_irregular(info["name"])
        followed: dict[str, Any] = self.where.fs.info(info["name"])
        return followed


def _refuse_unreadable(folder: str) -> None:
    """Refuse a folder on a disk that may not be listed, which fsspec leaves out without a word."""
    if not os.access(folder, os.R_OK | os.X_OK):
        raise InputError(f"input.path: the folder {folder!r} can't be read: permission denied")


def refuse_unreadable_below(pattern: str) -> None:
    """Refuse folders on a disk that may not be listed and that a glob leads through.

    Raises:
        InputError: there is one.
    """
    root = globs.spelled_out(pattern)
    for above, folders, _ in os.walk(root or "/"):
        _refuse_unreadable(above)
        folders[:] = [name for name in folders if globs.leads_through(pattern, f"{above.rstrip('/')}/{name}")]
        for name in folders:
            _refuse_unreadable(os.path.join(above, name))


def is_folder(where: Location, info: dict[str, Any]) -> bool:
    """Tell whether what a listing shows is a folder or a link to one."""
    if info["type"] == "directory":
        return True
    return where.is_local and info["type"] != "file" and os.path.isdir(info["name"])


def refuse_irregular(name: str) -> None:
    """Refuse a file on a disk that would block or never end when it is read.

    Raises:
        InputError: it is a pipe, a socket or a device.
    """
    mode = os.stat(name).st_mode
    kinds = (
        (stat.S_ISFIFO, "named pipe"),
        (stat.S_ISSOCK, "socket"),
        (stat.S_ISCHR, "device"),
        (stat.S_ISBLK, "device"),
    )
    for is_kind, what in kinds:
        if is_kind(mode):
            raise InputError(f"input.path: {name!r} is a {what}; shards must be regular files")
