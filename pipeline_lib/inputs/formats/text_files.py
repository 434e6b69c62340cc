"""Open files of lines, compressed or not, on any storage."""

import contextlib
import io
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import IO, TypeVar

from pipeline_lib.errors import InputError
from pipeline_lib.inputs.formats.unpacking import damage_named, unpacked
from pipeline_lib.inputs.shards import Slice
from pipeline_lib.storage.location import Location
from pipeline_lib.storage.store_errors import translated_errors

_BUFFER_BYTES = 1 << 20
# Files of object stores read ahead by this much; a slice needs little of what follows it.
_BLOCK_BYTES = {"whole": 8 << 20, "slice": 1 << 20}

_T = TypeVar("_T")


class OpenLines:
    """A file that stays open between slices; a compressed one is unpacked once, if each comes after the last one.

    Args:
        shard: the file.
    """

    def __init__(self, shard: Location) -> None:
        self._path, self._open = shard.path, contextlib.ExitStack()
        self.file = self._open.enter_context(opened(shard, "slice"))

    def close(self) -> None:
        """Close the file."""
        self._open.close()

    def taken(self, part: Slice, rows_from: Callable[[IO[bytes], tuple[int, int]], Iterable[_T]]) -> list[_T]:
        """Return the rows of a slice.

        Args:
            part: the slice.
            rows_from: given the file and its place, in bytes and lines, returns the rows from there on.

        Raises:
            InputError: the file has fewer rows than it had when it was planned.
        """
        with readable(self._path):
            if self.file.tell() != part.offset:
                self.file.seek(part.offset)
            rows = list(islice(rows_from(self.file, (part.offset, part.line)), part.rows))
        if len(rows) != part.rows:
            missing = f"{len(rows):,} rows from row {part.first_row:,} on, expected {part.rows:,}"
            raise InputError(f"{self._path!r} has {missing}: did it change?")
        return rows


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
        shard.fs.open(shard.path, "rb", block_size=_BLOCK_BYTES[what]) as content,
        unpacked(content, shard.path) as file,
        # Those of object stores copy all that they hold for each line, unless a buffer is between.
        io.BufferedReader(file, _BUFFER_BYTES) as buffered,
    ):
        yield buffered


@contextlib.contextmanager
def readable(path: str) -> Iterator[None]:
    """Turn what a damaged file raises in the block into an error that names it."""
    with translated_errors(path, "reading the shard"), damage_named(path):
        yield
