"""Token counts to micro-batches: which rows go through the model together. Pure arithmetic."""

import math
from collections.abc import Iterator, Sequence

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


def budget_within(usable_bytes: int, bytes_per_token: float, most: int) -> int:
    """Return the largest power of two of tokens that fits into memory, `most` at most.

    A power of two, so that a little more or less memory gives the same batches, and so the same digits.

    Args:
        usable_bytes: memory for a batch.
        bytes_per_token: what a token of a batch takes, more than 0.
        most: tokens beyond which a batch gains no speed.
    """
    fitting = max(usable_bytes / bytes_per_token, 1.0)
    return min(1 << int(math.log2(fitting)), most)


def distinct(rows: Sequence[NDArray[np.int32]], types: Sequence[NDArray[np.int32]]) -> tuple[Rows, Rows]:
    """Return which rows are the first of their kind, and for each row, which of these it is equal to.

    Args:
        rows: token ids, each of shape [tokens of that row].
        types: token type ids of the same shapes.
    """
    seen: dict[tuple[bytes, bytes], int] = {}
    same = [
        seen.setdefault((row.tobytes(), kind.tobytes()), len(seen)) for row, kind in zip(rows, types, strict=True)
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
