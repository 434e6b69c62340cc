"""Count the records of an open CSV file: in blocks where quotes follow the rules, record by record elsewhere."""

import functools
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain, pairwise
from typing import IO

from pipeline_lib.inputs.formats.csv_files.csv_blocks import LOOK_AHEAD, Block, Scanner, Surroundings
from pipeline_lib.inputs.formats.csv_files.csv_marks import Marks, Position
from pipeline_lib.inputs.formats.csv_files.csv_records import Records
from pipeline_lib.machine.parallel import in_order

_BLOCK_BYTES = 4 << 20
_PARSED_BYTES = 8 << 20
# Smaller files are read by one thread; there may be many of them.
_LARGE = 64 << 20

ReadRange = Callable[[int, int], bytes]
"""Returns the bytes of the file from one offset to another; called in threads."""


@dataclass(frozen=True)
class OpenFile:
    """A file whose records are counted."""

    file: IO[bytes]
    """At its first record."""
    scanner: Scanner
    """Of its delimiter and encoding."""
    records_from: Callable[[Position], Records]
    """Returns its records from a place on, at which the file is."""
    large: "Large | None" = None
    """How ranges of it are read, if several threads shall read it."""
    block_bytes: int = _BLOCK_BYTES
    parsed_bytes: int = _PARSED_BYTES
    """How much is parsed after a block that breaks the rules, and twice as much the next time."""


def count_records(opened: OpenFile, marks: Marks) -> None:
    """Add all records of a file to its marks.

    Raises:
        InputError: a quote never closes, a slice would hold too much, or lines end in bare carriage returns.
    """
    file, records_from, parsed_bytes = opened.file, opened.records_from, opened.parsed_bytes
    while opened.scanner.can_scan:
        blocks = opened.large.blocks(opened, marks.position) if opened.large else _streamed(opened, marks.position)
        if all(marks.add_block(block, is_last=is_last) for block, is_last in _with_last(blocks)):
            return
        file.seek(marks.position.offset)
        if not _parse(records_from(marks.position), marks, marks.position.offset + parsed_bytes):
            return
        file.seek(marks.position.offset)
        parsed_bytes *= 2
    _parse(records_from(marks.position), marks, None)


def _parse(records: Records, marks: Marks, until: int | None) -> bool:
    """Add records one by one; return whether there are more beyond an offset."""
    for record in records:
        if until is not None and record.offset >= until:
            marks.go_on_at(Position(record.offset, record.line))
            return True
        marks.add_record(record)
    if marks.rows == 1:
        records.refuse_old_mac()
    return False


def _streamed(opened: OpenFile, start: Position) -> Iterator[Block]:
    before, offset = b"\n", start.offset  # the end of the record before
    contents = iter(lambda: opened.file.read(opened.block_bytes), b"")
    for content, after in pairwise(chain(contents, [b""])):
        yield opened.scanner.scanned(offset, content, Surroundings(before, after[:LOOK_AHEAD]))
        before, offset = content[-1:], offset + len(content)


class Large:
    """Reads and scans the blocks of a large file side by side.

    Args:
        read: a range of it.
        size: of the file, in bytes.
    """

    def __init__(self, read: ReadRange, size: int) -> None:
        self._read, self._size = read, size

    @classmethod
    def of(cls, read: ReadRange, size: int | None) -> "Large | None":
        """Return a large file, or None for a small one."""
        return cls(read, size) if size and size > _LARGE else None

    def blocks(self, opened: OpenFile, start: Position) -> Iterator[Block]:
        """Return the blocks from a place between two records on, in their order."""
        offsets = range(start.offset, self._size, opened.block_bytes)
        return in_order(_threads(), partial(self._scanned, opened), offsets, 2 * _workers())

    def _scanned(self, opened: OpenFile, offset: int) -> Block:
        stop = min(offset + opened.block_bytes, self._size)
        read = self._read(offset - 1, min(stop + LOOK_AHEAD, self._size))
        own = 1 + stop - offset
        return opened.scanner.scanned(offset, read[1:own], Surroundings(read[:1], read[own:]))


def _workers() -> int:
    return max(os.cpu_count() or 1, 4)


@functools.cache
def _threads() -> ThreadPoolExecutor:
    """Return the threads that all large files share, so that many of them take no more memory than one."""
    return ThreadPoolExecutor(_workers())


def _with_last(blocks: Iterable[Block]) -> Iterator[tuple[Block, bool]]:
    """Yield blocks, each with whether it is the last one."""
    rest = iter(blocks)
    block = next(rest, None)
    while block is not None:
        following = next(rest, None)
        yield block, following is None
        block = following
