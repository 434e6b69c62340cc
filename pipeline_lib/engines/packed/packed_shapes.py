"""The shapes of packed batches: few, so that batches repeat them. Pure arithmetic.

A GPU's memory is then reused from batch to batch, and its work could be recorded once for each shape and replayed.
"""

from dataclasses import dataclass

_STEPS = 16
"""Between a power of two and the next: at most a sixteenth is filled up."""


@dataclass(frozen=True)
class Filling:
    """What is added to a batch of rows that lie end to end."""

    lengths: tuple[int, ...]
    """Tokens of each row that is added; none has more than the longest row of the batch."""
    longest: int
    """As many tokens as the longest row counts for."""


def filling(rows: int, tokens: int, longest: int) -> Filling:
    """Return the rows that bring a batch to the next capacity, of its rows and of its tokens.

    Args:
        rows: in the batch, at least one.
        tokens: of all its rows; each has at least one.
        longest: tokens of its longest row.
    """
    added = 0
    while True:
        all_rows = capacity(rows + added)
        all_tokens = capacity(tokens + all_rows - rows)
        missing, added_rows = all_tokens - tokens, all_rows - rows
        if missing <= added_rows * longest:
            return Filling(_spread(missing, added_rows), _power_of_two(longest))
        added = -(-missing // longest)


def capacity(count: int) -> int:
    """Return the least capacity for a number of tokens or rows: a sixteenth of a power of two, some times.

    Args:
        count: at least 1.
    """
    step = max(_power_of_two(count) // 2 // _STEPS, 1)
    return -(-count // step) * step


def _power_of_two(count: int) -> int:
    return 1 << (count - 1).bit_length()


def _spread(tokens: int, rows: int) -> tuple[int, ...]:
    """Return the lengths of rows that share tokens as evenly as can be."""
    if not rows:
        return ()
    each, more = divmod(tokens, rows)
    return (each + 1,) * more + (each,) * (rows - more)
