"""The files of a listing, sorted by what happens to them: shards are read, other data is refused."""

import os
from dataclasses import dataclass, field
from typing import Any

from pipeline_lib.errors import InputError, listed
from pipeline_lib.inputs.discovery import globs
from pipeline_lib.inputs.discovery.file_kinds import file_kind
from pipeline_lib.inputs.discovery.local_files import is_folder, refuse_irregular, refuse_unreadable
from pipeline_lib.inputs.discovery.table_formats import refuse_table_formats
from pipeline_lib.inputs.shards import FORMATS, READABLE
from pipeline_lib.storage.location import Location


@dataclass
class ListedFiles:
    """The files of one or more listings, as names on their file system."""

    location: Location
    """The location that is listed."""
    names: list[str] = field(default_factory=list)
    """All files, hidden ones too."""
    shards: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What fsspec tells about each shard, by name."""
    other_data: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    folder_links: list[str] = field(default_factory=list)
    """Links to folders, which are not followed."""

    def add_folder(self, root: str) -> None:
        """Add all files below a folder that are not hidden.

        Raises:
            InputError: a folder below may not be listed, or a file would block who reads it.
        """
        below = self.location.fs.find(root, detail=True, withdirs=self.location.is_local)
        self.names += below
        for info in below.values():
            name = str(info["name"])
            relative = name[len(root) :].strip("/")
            if not relative or globs.has_hidden(relative, folder=is_folder(self.location, info)):
                continue
            if info["type"] == "directory":
                refuse_unreadable(name)
            else:
                self.add(info)

    def add(self, info: dict[str, Any]) -> None:
        """Add a file, unless its kind is known not to matter.

        Raises:
            InputError: reading the file would block.
        """
        name, kind = str(info["name"]), file_kind(str(info["name"]))
        self.names.append(name)
        if name.endswith("/") or kind == "companion":  # consoles of stores show empty files as folders
            return
        if self.location.is_local and (info["type"] != "file" or info.get("islink")):
            if os.path.isdir(name):
                self.folder_links.append(name)
                return
            info = self._link_target(info)
        if kind == "shard":
            self.shards[name] = info
        else:
            (self.other_data if kind == "data" else self.unknown).append(name)

    def refuse_other_data(self, path: str) -> None:
        """Refuse files that look like data and would not be read.

        Args:
            path: as in `input.path`, for the message.

        Raises:
            InputError: there are some, or the files belong to a table whose log says which rows count.
        """
        refuse_table_formats(self.location, path, self.names, self.shards)
        if self.other_data:
            names = [self.location.url_of(name) for name in self.other_data]
            lower = [shard.lower() for shard in self.shards]
            endings = [ending for ending in FORMATS if any(name.endswith(ending) for name in lower)]
            folder = globs.spelled_out(path.rstrip("/"))
            patterns = listed(f"{folder}/**/*{ending}" for ending in endings or FORMATS)
            raise InputError(
                f"input.path: {path!r} holds {listed(names, 2)}, which look like data of kinds that are not read "
                f"({READABLE} are); convert them, or leave them out with a glob such as {patterns}"
            )

    @property
    def notices(self) -> list[str]:
        """Notices for the user about files that are not read."""
        notices = []
        if self.unknown:
            names = [self.location.url_of(name) for name in self.unknown]
            notices.append(f"not read, since their kind is not known: {listed(names, 3)}")
        if self.folder_links:
            links = listed(self.folder_links, 3)
            notices.append(f"{links}: links to folders are not followed; name them in input.path to read them")
        return notices

    def _link_target(self, info: dict[str, Any]) -> dict[str, Any]:
        """Return what fsspec tells about the file that a link leads to, as it will when the shard is read."""
        if not os.path.exists(info["name"]):
            return info  # reading the link will raise the error
        refuse_irregular(info["name"])
        target: dict[str, Any] = self.location.fs.info(info["name"])
        return target
