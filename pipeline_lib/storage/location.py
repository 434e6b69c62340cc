"""One value for the place of a file or a folder that fsspec reaches: a local path, `s3://...` or another URL."""

import contextlib
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import IO, Any, ClassVar, Self


@dataclass(frozen=True, slots=True)
class FileStamp:
    """What distinguishes one state of a file from another without reading the file."""

    size: int
    """In bytes."""
    tag: str
    """The ETag where the store has one, else the times of the file."""
    etag: bool = False
    """Whether the tag changes with the content and with nothing else."""
    regular: bool = True
    """False for a link, a device or a pipe."""


Files = dict[str, FileStamp]
"""The files below a folder, by their path below it."""


@dataclass(frozen=True)
class Location:
    """A file or a folder in a file system of fsspec; `folder / "name"` is a file or a folder in it.

    This class serves any store by what all file systems of fsspec can do; `DiskLocation` and `S3Location` do more.
    Make one from a path or a URL with `urls.location_of`.
    """

    fs: Any
    """The file system of fsspec."""
    path: str
    """The path as that file system spells it."""

    is_local: ClassVar[bool] = False
    """Whether the operating system can rename and sync the file."""

    def __truediv__(self, name: str) -> Self:
        return replace(self, path=f"{self.path.rstrip('/')}/{name}")

    @property
    def url(self) -> str:
        """An absolute path or a URL with its scheme, by which `location_of` finds the place on any machine."""
        return self.url_of(self.path)

    def url_of(self, path: str) -> str:
        """Return the URL of another path in the same file system."""
        return str(self.fs.unstrip_protocol(path))

    def stamp(self) -> FileStamp:
        """Return the size and the tag of the file."""
        return stamp_of(self.fs.info(self.path))

    def open(self) -> IO[bytes]:
        """Open the file for reading; on a disk it must be a regular file."""
        file: IO[bytes] = self.fs.open(self.path, "rb")
        return file

    def read(self) -> bytes | None:
        """Return the content of a small file, or None if there is no file.

        Raises:
            OSError: the file can't be read, or is a link, a device or a pipe, which could lead anywhere.
        """
        try:
            return self._get()
        except FileNotFoundError:
            return None

    def stamp_now(self) -> FileStamp | None:
        """Return the size and the tag of the file, or None if there is no file; a listing may be older."""
        try:
            return self.stamp()
        except FileNotFoundError:
            return None

    def read_end(self, stamp: FileStamp, most: int) -> bytes:
        """Return the last bytes of the file, at most `most` of them.

        Args:
            stamp: the state of the file.
            most: number of bytes.

        Raises:
            FileNotFoundError: there is no file in this state, as far as the store can tell.
        """
        return bytes(self.fs.cat_file(self.path, start=max(stamp.size - most, 0), end=stamp.size))

    def write(self, content: bytes) -> str | None:
        """Write the file so that readers see all of it or none of it, also after a crash; return any ETag.

        An object store shows an object once its upload is complete; a disk needs a rename of a synced file. A write
        that reports a failure may have succeeded: what can be read back decides.
        """
        try:
            return self._put(content)
        except Exception:
            if self._read_back() != content:
                raise
            return None

    def write_by(self, fill: Callable[[IO[bytes]], object]) -> str | None:
        """Write the file as `write` does, filled by a function that is given an open file; return any ETag.

        A store gets it by one request, for which the whole file is in memory; a disk gets it piece by piece.
        """
        buffer = io.BytesIO()
        fill(buffer)
        return self.write(buffer.getvalue())

    def copy_to(self, target: Self, size: int = 0) -> None:
        """Copy the file under exactly the given name, even if that has stars and brackets in it.

        Args:
            target: the copy, in the same file system.
            size: of the file in bytes, if known; a very large one takes several requests.
        """
        del size
        self.fs.cp_file(self.path, target.path)

    def move_to(self, target: Self, size: int = 0) -> None:
        """Move the file within its file system: in a store by copying and removing it."""
        self.copy_to(target, size)
        self.fs.rm_file(self.path)

    def remove(self) -> None:
        """Remove the file, or the link and not what it leads to; a missing one is no error."""
        with contextlib.suppress(FileNotFoundError):
            self.fs.rm_file(self.path)

    def remove_tree(self, known: Iterable[str] = ()) -> None:
        """Remove the folder of exactly this name with all that is in it; a missing one is no error.

        Args:
            known: paths below the folder that a listing of a store may lack, since they are new.
        """
        del known
        with contextlib.suppress(FileNotFoundError):
            for path in self.fs.find(self.path):
                self.fs.rm_file(path)
        with contextlib.suppress(OSError, NotImplementedError):
            self.fs.rmdir(self.path)

    def names(self) -> list[str]:
        """Return the sorted names of the files and folders in the folder; none if it does not exist."""
        try:
            return sorted(str(name).rstrip("/").rsplit("/", 1)[-1] for name in self.fs.ls(self.path, detail=False))
        except FileNotFoundError:
            return []

    def files(self) -> Files:
        """Return every file below the folder by one listing; none if the folder does not exist.

        Folders are left out, and so are the empty objects that consoles show as folders.

        Raises:
            FileNotFoundError: there is no such bucket.
            NotADirectoryError: it is a file.
        """
        try:
            listing = self.fs.find(self.path, detail=True).items()
        except FileNotFoundError:
            return {}
        names = {str(path)[len(self.path) :].lstrip("/"): info for path, info in listing if info["type"] == "file"}
        return {name: stamp_of(info) for name, info in names.items() if name}

    def entries_from(self, prefix: str) -> list[dict[str, Any]]:
        """Return what the file system tells about every file whose path begins with a prefix, by one listing.

        Args:
            prefix: of a path in this file system, with at least its first folder or bucket.

        Raises:
            FileNotFoundError: there is no such bucket.
        """
        try:
            entries = self.fs.find(prefix.rpartition("/")[0], detail=True).values()
        except FileNotFoundError:
            return []
        return [entry for entry in entries if entry["type"] == "file" and str(entry["name"]).startswith(prefix)]

    def sync(self) -> None:
        """Make renames in the folder survive a power cut where it is local; a missing one is no error."""

    def _get(self) -> bytes:
        return bytes(self.fs.cat_file(self.path))

    def _put(self, content: bytes) -> str | None:
        answer = self.fs.pipe_file(self.path, content)
        return str(answer.get("ETag", "")).strip('"') or None if isinstance(answer, dict) else None

    def _read_back(self) -> bytes | None:
        try:
            return self.read()
        except Exception:  # noqa: BLE001 - the failure of the write itself is reported
            return None


def stamp_of(info: dict[str, Any]) -> FileStamp:
    """Return the stamp of a file from the entry that its file system lists it by."""
    etag = info.get("ETag") or info.get("etag")
    if etag:
        return FileStamp(int(info["size"]), str(etag).strip('"'), etag=True)
    when = info.get("mtime", info.get("LastModified", info.get("last_modified", "")))
    return FileStamp(int(info["size"]), f"{when:.6f}" if isinstance(when, float) else str(when))
