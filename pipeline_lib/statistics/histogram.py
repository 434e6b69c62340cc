"""A histogram in fixed bins: histograms of slices add up to those of shards, nights and several nights."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.statistics.bins import Bins

Counts = NDArray[np.int64]

_MOST = 10**18


@dataclass(frozen=True, eq=False)
class Histogram:
    """Numbers of values by bin."""

    bins: Bins
    counts: Counts
    """Of shape [bins]."""

    @classmethod
    def empty(cls, bins: Bins) -> Self:
        """Return the histogram of no values."""
        return cls(bins, np.zeros(len(bins), np.int64))

    @classmethod
    def of(cls, bins: Bins, values: NDArray[Any]) -> Self:
        """Return the histogram of values of shape [values].

        Raises:
            ValueError: a value is NaN.
        """
        return cls(bins, np.bincount(bins.indices(values), minlength=len(bins)).astype(np.int64))

    @property
    def total(self) -> int:
        """Number of values."""
        return int(self.counts.sum())

    def __add__(self, other: Self) -> Self:
        """Return the histogram of the values of both.

        Raises:
            ValueError: their bins differ.
        """
        if self.bins.name != other.bins.name:
            raise ValueError(f"bins {self.bins.name!r} can't be added to bins {other.bins.name!r}")
        return type(self)(self.bins, self.counts + other.counts)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Histogram)
            and self.bins.name == other.bins.name
            and bool(np.array_equal(self.counts, other.counts))
        )

    __hash__ = None  # type: ignore[assignment]

    def merged(self, cuts: Iterable[int]) -> Counts:
        """Return counts in coarser bins.

        Args:
            cuts: ascending numbers of the fine bins at which a coarse bin begins, without 0.
        """
        return np.add.reduceat(self.counts, [0, *cuts]).astype(np.int64)

    def to_text(self) -> str:
        """Return the bins that are not empty as `3:17 5:2`: bin, counted from 0, and number of values.

        Text, since in JSON of its own each bin would need many times the bytes, and each slice has several
        histograms.
        """
        return " ".join(f"{index}:{self.counts[index]}" for index in np.flatnonzero(self.counts))

    @classmethod
    def from_text(cls, bins: Bins, text: str) -> Self:
        """Return the histogram that `to_text` wrote.

        Raises:
            ValueError: the text is no histogram of these bins.
        """
        counts = np.zeros(len(bins), np.int64)
        for pair in text.split():
            index, _, count = pair.partition(":")
            if not (index.isdecimal() and count.isdecimal()) or int(index) >= len(bins) or int(count) > _MOST:
                raise ValueError(f"{pair!r} is no bin and number of values of bins {bins.name!r}")
            counts[int(index)] += int(count)
        return cls(bins, counts)


def pooled(bins: Bins, histograms: Iterable[Histogram]) -> Histogram:
    """Return the sum of histograms.

    Raises:
        ValueError: their bins differ.
    """
    return reduce(add, histograms, Histogram.empty(bins))


def quantile_cuts(reference: Histogram, most: int = 10) -> tuple[int, ...]:
    """Return where to cut fine bins, so that each coarse bin has about the same share of a reference.

    A cut is the edge of a fine bin that is nearest to a quantile. Where many values share one fine bin, there are
    fewer coarse bins.

    Args:
        reference: the histogram whose quantiles decide.
        most: largest number of coarse bins.

    Returns:
        Ascending numbers of the fine bins at which a coarse bin begins, without 0.
    """
    total = reference.total
    below = np.concatenate([[0], np.cumsum(reference.counts)])  # values below the lower edge of each fine bin
    scaled = below * most
    cuts = set()
    for step in range(1, most):
        # In integers, so that no rounding decides about a tie.
        after = int(np.searchsorted(scaled, step * total))
        before = max(after - 1, 0)
        is_nearer = step * total - int(below[before]) * most < int(below[after]) * most - step * total
        cuts.add(before if is_nearer else after)
    return tuple(sorted(cuts - {0, len(reference.bins)}))
