"""A snapshot of a store: the files of one listing, read as if they were a file system, without further requests."""

from typing import Any

from fsspec.spec import AbstractFileSystem

from pipeline_lib.storage.location import Location


class Snapshot(AbstractFileSystem):  # type: ignore[misc]
    """A file system that knows the files of a listing and nothing else; their content can't be read.

    Args:
        entries: what the file system of the store tells about each file, with `name`, `size` and `type`.
        source: the store's own location, which knows how URLs are spelled.
    """

    cachable = False

    def __init__(self, entries: list[dict[str, Any]], source: Location) -> None:
        super().__init__()
        self._source = source
        self._folders: dict[str, dict[str, dict[str, Any]]] = {"": {}}
        for entry in entries:
            name = str(entry["name"])
            folder = self._folder(name.rpartition("/")[0])
            if not name.endswith("/"):  # consoles of stores show such an object as a folder
                folder[name] = {**entry, "type": "file"}

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """Return what is in a folder, or the file itself."""
        path = path.strip("/")
        found = list(self._folders[path].values()) if path in self._folders else [self.info(path)]
        return found if detail else [entry["name"] for entry in found]

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Return what the listing tells about a file or a folder."""
        path = path.strip("/")
        if path in self._folders:
            return {"name": path, "size": 0, "type": "directory"}
        try:
            return self._folders[path.rpartition("/")[0]][path]
        except KeyError:
            raise FileNotFoundError(path) from None

    def unstrip_protocol(self, name: str) -> str:
        """Return the URL of a path in the store."""
        return self._source.url_of(name)

    def _folder(self, path: str) -> dict[str, dict[str, Any]]:
        """Return what is in a folder, which is added if it is not known yet."""
        if path not in self._folders:
            self._folders[path] = {}
            self._folder(path.rpartition("/")[0])[path] = {"name": path, "size": 0, "type": "directory"}
        return self._folders[path]
