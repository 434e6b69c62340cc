"""Histograms as columns of equal width: a few for many fine bins, and the same for the reference nights."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline_lib.statistics.bins import PROBABILITIES, TOKENS, Bins
from pipeline_lib.statistics.histogram import Histogram

# Narrow where softmax piles scores up; the columns are of equal width all the same.
_PROBABILITY_EDGES = (
    *(0.0001, 0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
    *(0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999),
)
_MOST_COLUMNS = 24


@dataclass(frozen=True)
class Column:
    """One column of a histogram."""

    start: float | None
    """Where its values begin; None for the first one of all, which is open."""
    end: float | None
    """Where they end; None for the last one of all."""
    count: int
    share: float
    """Of all values of the night."""
    reference: float | None
    """Share of all values of the reference nights; None without any."""

    @property
    def words(self) -> str:
        """Its range in words."""
        if self.start is None:
            return f"up to {in_words(self.end)}" if self.end is not None else "all"
        return f"{in_words(self.start)} {f'to {in_words(self.end)}' if self.end is not None else 'and more'}"


def in_words(edge: float) -> str:
    """Return an edge with as many digits as it needs, at most four."""
    return f"{edge:,.0f}" if abs(edge) >= 1000 else f"{edge:.4g}"


def columns_of(night: Histogram, reference: Histogram | None) -> list[Column]:
    """Return the columns of a histogram, from the first to the last that has any value; none without values.

    Args:
        night: scores or lengths in tokens.
        reference: the same of other nights, in the same bins.
    """
    pool = reference if reference is not None and reference.total else None
    both = night.counts + (pool.counts if pool else 0)
    if not both.any():
        return []
    cuts = _cuts(night.bins, np.flatnonzero(both))
    edges = [None, *(night.bins.edges[cut - 1] for cut in cuts), None]
    counts = night.merged(cuts)
    others = pool.merged(cuts) if pool else np.zeros_like(counts)
    filled = np.flatnonzero(counts + others)
    return [
        Column(
            edges[at],
            edges[at + 1],
            int(counts[at]),
            int(counts[at]) / max(night.total, 1),
            int(others[at]) / pool.total if pool else None,
        )
        for at in range(int(filled[0]), int(filled[-1]) + 1)
    ]


def _cuts(bins: Bins, filled: Sequence[int] | np.ndarray[tuple[int], np.dtype[np.int64]]) -> list[int]:
    """Return the fine bins at which the columns begin, without 0."""
    if bins.name == PROBABILITIES.name:
        return [bins.edges.index(edge) + 1 for edge in _PROBABILITY_EDGES]
    if bins.name == TOKENS.name:
        # Half a doubling each.
        edges = [edge for power in range(2, 21) for edge in (1 << power, 3 << (power - 1))]
        return [bins.edges.index(edge) + 1 for edge in edges if edge in bins.edges]
    first, last = int(filled[0]), int(filled[-1])
    step = max(1, -(-(last - first + 1) // _MOST_COLUMNS))
    return [cut for cut in range(first, last + step + 1, step) if 0 < cut < len(bins)]
