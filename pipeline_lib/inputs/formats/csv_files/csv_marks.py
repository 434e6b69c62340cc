"""Marks: how many records a CSV file has, and where every slice of them starts."""

from typing import NamedTuple

import numpy as np

from pipeline_lib.errors import InputError
from pipeline_lib.inputs.formats.csv_files.csv_blocks import Block
from pipeline_lib.inputs.formats.csv_files.csv_lines import MOST_RECORD_BYTES
from pipeline_lib.inputs.formats.csv_files.csv_records import Record
from pipeline_lib.inputs.formats.csv_files.csv_tables import has_lost_bytes
from pipeline_lib.inputs.shards import MOST_SLICE_BYTES


class Position(NamedTuple):
    """A place between two records."""

    offset: int
    """Bytes before it."""
    line: int
    """Lines before it."""


class Marks:
    """What is known of a file up to some record.

    Args:
        path: the file, for messages.
        rows_per_slice: records of each slice but the last.
        start: the place of the first record.
    """

    def __init__(self, path: str, rows_per_slice: int, start: Position) -> None:
        self._path, self._rows_per_slice = path, rows_per_slice
        self.position = start
        """After the last record; before one that has begun in a block and goes on in the next."""
        self._is_inside, self._lines = False, start.line
        self.slice_offsets: list[tuple[int, int]] = []
        self.rows = self.undecodable = 0
        self._slice_bytes = 0

    def add_record(self, record: Record) -> None:
        """Count a record that was parsed.

        Raises:
            InputError: its slice would hold too much.
        """
        if self.rows % self._rows_per_slice == 0:
            self.slice_offsets.append((record.offset, record.line))
            self._slice_bytes = 0
        self.rows += 1
        self.undecodable += any(map(has_lost_bytes, record.fields))
        self._slice_bytes += record.size_bytes
        if self._slice_bytes > MOST_SLICE_BYTES:
            raise InputError(_too_much(self._path, self.rows, self._rows_per_slice))

    def go_on_at(self, position: Position) -> None:
        """Note that all records before a place were added."""
        self.position, self._is_inside, self._lines = position, False, position.line

    def add_block(self, block: Block, *, is_last: bool) -> bool:
        """Count the records that end in the next block; return False if they must be parsed instead.

        Args:
            block: the one that begins where the last one ended.
            is_last: whether the file ends with it, so that its last record may lack a line end.
        """
        ends_record = block.odd == self._is_inside
        ends = block.offset + block.line_ends[ends_record]
        lines = self._lines + np.flatnonzero(ends_record) + 1
        returns = block.after_return[ends_record]
        is_inside = self._is_inside ^ bool(block.quotes % 2)
        stop = block.offset + block.size
        if is_last and (len(ends) == 0 or ends[-1] != stop - 1) and stop > self.position.offset:
            ends, lines = np.append(ends, stop), np.append(lines, 0)
            returns = np.append(returns, np.False_)
        starts = np.concatenate([[self.position.offset], ends[:-1] + 1]) if len(ends) else ends
        sizes = ends - starts
        open_bytes = stop - (int(ends[-1]) + 1 if len(ends) else self.position.offset)
        if (
            not block.is_regular[self._is_inside]
            or (is_last and is_inside)
            or max(open_bytes, int(sizes.max(initial=0))) >= MOST_RECORD_BYTES
        ):
            return False
        is_blank = (sizes == 0) | ((sizes == 1) & returns)
        start_lines = np.concatenate([[self.position.line], lines[:-1]]) if len(ends) else lines
        if not self._add(starts[~is_blank], start_lines[~is_blank], (sizes + 1)[~is_blank]):
            return False
        if len(ends):
            self.position = Position(int(ends[-1]) + 1, int(lines[-1]))
        self._is_inside, self._lines = is_inside, self._lines + len(block.line_ends)
        return True

    def _add(self, starts: np.ndarray, lines: np.ndarray, sizes: np.ndarray) -> bool:
        """Count records by where they start; return False if one of their slices would hold too much."""
        firsts = np.arange(-self.rows % self._rows_per_slice, len(starts), self._rows_per_slice)
        held = np.add.reduceat(sizes, firsts) if len(firsts) else sizes[:0]
        before = int(sizes[: firsts[0] if len(firsts) else len(sizes)].sum())
        if self._slice_bytes + before > MOST_SLICE_BYTES or int(held.max(initial=0)) > MOST_SLICE_BYTES:
            return False
        self.slice_offsets += zip(starts[firsts].tolist(), lines[firsts].tolist(), strict=True)
        self.rows += len(starts)
        self._slice_bytes = int(held[-1]) if len(held) else self._slice_bytes + before
        return True


def _too_much(path: str, rows: int, rows_per_slice: int) -> str:
    fitting = (rows - 1) % rows_per_slice
    return (
        f"{path!r}: rows {rows - fitting - 1:,} to {rows - 1:,} hold more than {MOST_SLICE_BYTES >> 30} GiB, "
        f"too much for one slice; set tuning.rows_per_slice to {max(fitting // 2, 1):,}"
    )
