"""Open files of lines, compressed or not, on any storage."""

import contextlib
import gzip
import io
import zlib
from collections.abc import Iterator
from typing import IO

from pipeline_lib.errors import InputError
from pipeline_lib.storage.location import Location
from pipeline_lib.storage.store_errors import translated_errors

_BUFFER_BYTES = 1 << 20
# Files of object stores read ahead by this much; a slice needs little of what follows it.
_BLOCK_BYTES = {"whole": 8 << 20, "slice": 1 << 20}


@contextlib.contextmanager
def opened(shard: Location, what: str) -> Iterator[IO[bytes]]:
    """Yield an open file, unpacked.

    Args:
        shard: the file.
        what: is read of it: the whole, or a slice.

    Raises:
        InputError: it is damaged.
    """
    with (
        readable(shard.path),
        shard.fs.open(shard.path, "rb", block_size=_BLOCK_BYTES[what], compression="infer") as file,
        # Those of object stores copy all that they hold for each line, unless a buffer is between.
        io.BufferedReader(file, _BUFFER_BYTES) as buffered,
    ):
        yield buffered


@contextlib.contextmanager
def readable(path: str) -> Iterator[None]:
    """Turn what a damaged file raises in the block into an error that names it."""
    with translated_errors(path, "reading the shard"):
        try:
            yield
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise InputError(f"{path!r} is not a whole gzip file: {error}") from error
