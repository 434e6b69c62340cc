"""Unpack files that are compressed with gzip, bzip2 or Zstandard, and name one that is damaged."""

import bz2
import contextlib
import gzip
import io
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any

from fsspec.compression import compr

from pipeline_lib.errors import InputError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_CHUNK_BYTES = 1 << 16


class DamagedError(Exception):
    """A compressed file is damaged."""


class Bzip2File(io.RawIOBase):
    """The content of a bzip2 file of one stream or more.

    `bz2.BZ2File` takes what follows the first stream for the end of the file if it is no other stream, so that the
    rows of a damaged one would be missed without a word. Here it is an error.

    Args:
        packed: the compressed file, at its start.
    """

    def __init__(self, packed: IO[bytes]) -> None:
        self._packed = packed
        self._stream: bz2.BZ2Decompressor | None = None
        self._position = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True; to go back costs as much as to begin anew."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer as far as the content goes that is unpacked at once; return 0 at the end.

        Raises:
            DamagedError: the file is damaged.
            EOFError: it is cut off.
        """
        content = self._content(len(buffer))
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to a place and return it; places are not counted from the end.

        Raises:
            DamagedError: the file is damaged.
            EOFError: it is cut off.
        """
        if whence == os.SEEK_END:
            raise io.UnsupportedOperation("the size of the content is not known")
        target = offset + (self._position if whence == os.SEEK_CUR else 0)
        if target < self._position:
            self._packed.seek(0)
            self._stream, self._position = None, 0
        while self._position < target and self.read(min(target - self._position, _CHUNK_BYTES)):
            pass
        return self._position

    def _content(self, most: int) -> bytes:
        """Return the next bytes, or none at the end of the file."""
        while True:
            packed = b""
            if self._stream is None or self._stream.eof:
                packed = (self._stream.unused_data if self._stream else b"") or self._packed.read(_CHUNK_BYTES)
                if not packed:
                    return b""
                self._stream = bz2.BZ2Decompressor()
            elif self._stream.needs_input:
                packed = self._packed.read(_CHUNK_BYTES)
                if not packed:
                    raise EOFError("it ends in the middle of a stream")
            try:
                content = self._stream.decompress(packed, most)
            except OSError as error:
                raise DamagedError(str(error)) from error
            if content:
                return content


_UNPACKERS: dict[str, tuple[str, Callable[[IO[bytes]], Any]]] = {
    ".gz": ("gzip", compr["gzip"]),
    ".bz2": ("bzip2", Bzip2File),
    ".zst": ("Zstandard", zstd.ZstdFile),
}


@contextlib.contextmanager
def unpacked(content: IO[bytes], path: str) -> Iterator[Any]:
    """Yield the unpacked content of an open file, or the file itself if its name tells of no compression.

    Args:
        content: the file, at its start.
        path: whose ending tells how it is compressed.
    """
    _, unpacker = _UNPACKERS.get(_ending(path), ("", None))
    if unpacker is None:
        yield content
        return
    with unpacker(content) as file:
        yield file


@contextlib.contextmanager
def damage_named(path: str) -> Iterator[None]:
    """Turn what a damaged compressed file raises in the block into an error that names it.

    Raises:
        InputError: the file is damaged or cut off.
    """
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile, zstd.ZstdError, DamagedError) as error:
        kind, _ = _UNPACKERS.get(_ending(path), ("", None))
        raise InputError(f"{path!r} is not a whole {kind} file: {error}") from error


def _ending(path: str) -> str:
    return os.path.splitext(path)[1].lower()
