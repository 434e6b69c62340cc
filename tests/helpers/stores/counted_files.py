"""Files that are read as those of object stores are, and count what they hand out."""

from typing import Any

from fsspec.implementations.local import LocalFileSystem
from fsspec.spec import AbstractBufferedFile


class ObjectStoreFile(AbstractBufferedFile):  # type: ignore[misc] # fsspec has no types
    """Reads a local file as those of object stores are read, through a cache, and counts what it hands out."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        with open(self.path, "rb") as file:
            file.seek(start)
            return file.read(end - start)

    def read(self, length: int = -1) -> bytes:
        """Return the next bytes."""
        content: bytes = super().read(length)
        self.fs.bytes_read += len(content)
        return content


class ObjectStore(LocalFileSystem):  # type: ignore[misc]
    """A local file system whose files are read as those of object stores are."""

    cachable = False
    bytes_read = 0

    def _open(self, path: str, mode: str = "rb", block_size: int | None = None, **_: Any) -> ObjectStoreFile:
        return ObjectStoreFile(self, path, mode, block_size or 50 << 20)
