"""Two streams of a shard's scored rows, brought together by the numbers of the rows. Pure, with bounded memory."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

RowNumbers = NDArray[np.int64]


class Block(NamedTuple):
    """Some scored rows of a shard, in its order."""

    rows: RowNumbers
    """Numbers of the rows in the shard, ascending, of shape [rows]."""
    table: pa.Table
    """Their columns."""

    def split(self, last: int) -> tuple["Block", "Block"]:
        """Return the rows up to a number, inclusive, and the others."""
        at = int(np.searchsorted(self.rows, last, side="right"))
        return Block(self.rows[:at], self.table.slice(0, at)), Block(self.rows[at:], self.table.slice(at))

    def take(self, places: RowNumbers) -> pa.Table:
        """Return the columns of some of the rows."""
        return self.table if len(places) == len(self.rows) else self.table.take(pa.array(places))


class Aligned(NamedTuple):
    """Rows that both streams have, and how many before the end of these only one has."""

    rows: RowNumbers
    first: pa.Table
    second: pa.Table
    only_in_first: int
    only_in_second: int


def aligned(first: Iterator[Block], second: Iterator[Block]) -> Iterator[Aligned]:
    """Yield the rows of two streams of one shard together, whatever blocks each of them is cut into.

    No more than one block of each stream is held at a time.
    """
    one, other = _next(first), _next(second)
    while one is not None and other is not None:
        last = int(min(one.rows[-1], other.rows[-1]))
        (head, one_left), (other_head, other_left) = one.split(last), other.split(last)
        rows, places, other_places = np.intersect1d(
            head.rows, other_head.rows, assume_unique=True, return_indices=True
        )
        yield Aligned(
            rows,
            head.take(places),
            other_head.take(other_places),
            len(head.rows) - len(rows),
            len(other_head.rows) - len(rows),
        )
        one = one_left if len(one_left.rows) else _next(first)
        other = other_left if len(other_left.rows) else _next(second)
    for rest in _rest(one, first):
        yield Aligned(rest.rows[:0], rest.table.slice(0, 0), rest.table.slice(0, 0), len(rest.rows), 0)
    for rest in _rest(other, second):
        yield Aligned(rest.rows[:0], rest.table.slice(0, 0), rest.table.slice(0, 0), 0, len(rest.rows))


def _next(blocks: Iterator[Block]) -> Block | None:
    """Return the next block that has rows."""
    return next((block for block in blocks if len(block.rows)), None)


def _rest(block: Block | None, blocks: Iterator[Block]) -> Iterator[Block]:
    if block is not None:
        yield block
        yield from blocks
