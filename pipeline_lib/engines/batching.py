"""Token counts to micro-batches: which rows go through the model together. Pure arithmetic."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


def micro_batches(lengths: NDArray[np.int32], token_budget: int) -> Iterator[Rows]:
    """Yield row numbers in batches of like lengths, longest rows first.

    A batch of n rows costs n times its longest row, since shorter rows are padded to it; no batch costs more
    than the budget unless it is a single row. Longest first, so that a batch too big for the device shows at
    once. The result depends on the arguments alone: equal lengths keep the order of their rows.

    Args:
        lengths: tokens a row, shape [rows], each at least 1.
        token_budget: largest padded size of a batch in tokens, at least 1.
    """
    order = np.argsort(-lengths.astype(np.int64), kind="stable")
    start = 0
    while start < len(order):
        longest = max(int(lengths[order[start]]), 1)
        size = max(token_budget // longest, 1)
        yield order[start : start + size]
        start += size


def equal_length_batches(lengths: NDArray[np.int32], token_budget: int) -> Iterator[Rows]:
    """Yield row numbers in batches of one length each, so that nothing is ever padded.

    For models whose answer for a row changes when the row is padded.
    """
    order = np.argsort(-lengths.astype(np.int64), kind="stable")
    bounds = np.flatnonzero(np.diff(lengths[order])) + 1
    for group in np.split(order, bounds):
        if len(group):
            size = max(token_budget // max(int(lengths[group[0]]), 1), 1)
            yield from (group[start : start + size] for start in range(0, len(group), size))


@dataclass(frozen=True)
class BatchMemory:
    """The memory for a batch, and what a batch needs: each row of n tokens `linear * n + square * n**2` bytes.

    Rows are padded to the longest; attention may grow with the square.
    """

    usable: float = math.inf
    """Bytes that a batch may use."""
    linear: float = 1.0
    """Bytes per token; at least 0."""
    square: float = 0.0
    """Bytes per token squared; at least 0."""

    def needed(self, rows: int, longest: int) -> float:
        """Return the bytes that a batch needs."""
        return rows * (self.linear * longest + self.square * longest**2)

    def split(self, batch: Rows, lengths: NDArray[np.int32]) -> Iterator[Rows]:
        """Yield a batch, or its halves, or theirs, until each fits into the memory; single rows are always yielded.

        A batch is halved here just as when it fails, so that the same rows are computed together either way.

        Args:
            batch: row numbers.
            lengths: tokens of every row.
        """
        if len(batch) <= 1 or self.needed(len(batch), int(lengths[batch].max())) <= self.usable:
            yield batch
            return
        middle = len(batch) // 2
        yield from self.split(batch[:middle], lengths)
        yield from self.split(batch[middle:], lengths)

    def after_failure(self, rows: int, longest: int) -> "BatchMemory":
        """Return the memory to count on after a batch was too large: half of what it needs.

        Nothing changes if it was a single row, which tells nothing about other batches.
        """
        if rows <= 1:
            return self
        return replace(self, usable=min(self.usable, self.needed(rows, longest) / 2))


def fit_batch_memory(usable: int, short: tuple[int, float], long: tuple[int, float]) -> BatchMemory:
    """Return the memory for batches, from the measured needs of rows of two lengths.

    The result is never less than what was measured.

    Args:
        usable: bytes for a batch.
        short: tokens and bytes of a short row.
        long: tokens and bytes of one as long as rows may be; as many tokens as the short one, or more.
    """
    (few, little), (many, much) = short, long
    if few == many:
        return BatchMemory(usable, max(little, much, 1.0) / few)
    square = max((much / many - little / few) / (many - few), 0.0)
    # A measured need may be below 0 for a short row, and below its share for a long one.
    linear = max(little / few - square * few, much / many - square * many, 0.0)
    return BatchMemory(usable, linear, square) if linear + square > 0 else BatchMemory(usable, 1.0 / many)


def distinct(rows: Sequence[NDArray[np.int32]], types: Sequence[NDArray[np.int32]]) -> tuple[Rows, Rows]:
    """Return the places of the first of equal rows, and for each row, the number of the one that it equals.

    Args:
        rows: token ids, each of shape [tokens of that row].
        types: token type ids of the same shapes.
    """
    numbers: dict[tuple[bytes, bytes], int] = {}
    same = [
        numbers.setdefault((row.tobytes(), kind.tobytes()), len(numbers))
        for row, kind in zip(rows, types, strict=True)
    ]
    _, first = np.unique(np.array(same, np.int64), return_index=True)
    return first, np.array(same, np.int64)


def padded(rows: Sequence[NDArray[np.int32]], fill: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return token ids padded on the right and the mask of real tokens, both of shape [rows, longest].

    On the right, because causal models then never see the padding and absolute positions start at 0 as they
    do for the row alone.
    """
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    mask = np.arange(lengths.max(initial=0)) < lengths[:, None]
    ids = np.full(mask.shape, fill, dtype=np.int64)
    if mask.any():
        ids[mask] = np.concatenate(rows)
    return ids, mask.astype(np.int64)
