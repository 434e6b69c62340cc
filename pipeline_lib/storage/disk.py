"""Files on a disk of this machine: synced and renamed into place, and never read through a link or a pipe."""

import contextlib
import os
import shutil
import stat
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import IO, ClassVar, Self

from pipeline_lib.storage.location import Files, FileStamp, Location


class DiskLocation(Location):
    """A file or a folder on a disk."""

    is_local: ClassVar[bool] = True

    def url_of(self, path: str) -> str:
        """Return the path, which is absolute."""
        return path

    def open(self) -> IO[bytes]:
        """Open the file for reading without following a link or waiting for a pipe or a device.

        Raises:
            OSError: it is not a regular file, or can't be read.
        """
        if os.path.islink(self.path):
            raise PermissionError(f"{self.path!r} is a link, not a regular file")
        descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise PermissionError(f"{self.path!r} is not a regular file")
        return os.fdopen(descriptor, "rb")

    def write_by(self, fill: Callable[[IO[bytes]], object]) -> None:
        """Write the file, filled by a function that is given an open file; it gets its name once it is synced."""
        folder, name = os.path.split(self.path)
        os.makedirs(folder, exist_ok=True)
        temporary = os.path.join(folder, f".{name}.{uuid.uuid4().hex}.tmp")
        try:
            with open(temporary, "wb") as file:
                fill(file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        DiskLocation(self.fs, folder).sync()

    def move_to(self, target: Self, size: int = 0) -> None:
        """Rename the file or the folder."""
        del size
        os.makedirs(os.path.dirname(target.path), exist_ok=True)
        os.replace(self.path, target.path)

    def remove_tree(self, known: Iterable[str] = ()) -> None:
        """Remove the folder with all that is in it; a link is removed, and what it leads to stays."""
        del known
        if os.path.islink(self.path):
            os.unlink(self.path)
        elif os.path.isdir(self.path):
            shutil.rmtree(self.path)

    def files(self) -> Files:
        """Return every file below the folder, links among them; none if the folder does not exist."""
        return dict(_files_below(self.path, "")) if os.path.lexists(self.path) else {}

    def sync(self) -> None:
        """Make renames in the folder survive a power cut; a missing folder is no error."""
        if not os.path.isdir(self.path):
            return
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _get(self) -> bytes:
        with self.open() as file:
            return file.read()

    def _put(self, content: bytes) -> None:
        self.write_by(lambda file: file.write(content))


def _files_below(folder: str, prefix: str) -> Iterator[tuple[str, FileStamp]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            name = f"{prefix}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                yield from _files_below(entry.path, f"{name}/")
                continue
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:  # removed meanwhile
                continue
            tag = f"{status.st_mtime_ns}-{status.st_ctime_ns}-{status.st_ino}"
            yield name, FileStamp(status.st_size, tag, regular=stat.S_ISREG(status.st_mode))
