"""The figures that estimates are made of: numbers with an interval, ratios of samples, shares. Pure arithmetic."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Student's t for 95%, for 1 to 10 degrees of freedom; beyond that a hyperbola is near enough.
_T = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23)
_Z = 1.96
UNKNOWN = 0.5
"""The relative error of a figure of which there is one measurement alone."""


@dataclass(frozen=True)
class Interval:
    """A number, and between which two it will be in about 95 of 100 cases."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, value: float, relative_error: float) -> "Interval":
        """Return an interval that is as wide in both directions, as a factor: time can't be negative."""
        factor = 1 + relative_error
        return cls(value, value / factor, value * factor)

    def __add__(self, other: "Interval") -> "Interval":
        """Return the sum of two independent numbers."""
        value = self.value + other.value
        below = math.hypot(self.value - self.low, other.value - other.low)
        above = math.hypot(self.high - self.value, other.high - other.value)
        return Interval(value, value - below, value + above)

    def scaled(self, factor: float) -> "Interval":
        """Return a multiple."""
        return Interval(self.value * factor, self.low * factor, self.high * factor)

    def inverse(self, numerator: float = 1.0) -> "Interval":
        """Return a rate from a time or a time from a rate."""
        return Interval(*(numerator / each if each else math.inf for each in (self.value, self.high, self.low)))

    def to_json(self) -> dict[str, float]:
        """Return the three numbers, rounded to six digits."""
        return {name: float(f"{getattr(self, name):.6g}") for name in ("value", "low", "high")}


def ratio(tops: Sequence[float], bottoms: Sequence[float], whole: float = math.inf) -> Interval:
    """Return the ratio of two sums over sampled units, such as seconds over tokens, with its interval.

    The error is the jackknife's: how much the ratio changes when one unit after the other is left out (Wolter,
    Introduction to Variance Estimation, 4.3), since units differ in size.

    Args:
        tops: of each unit.
        bottoms: likewise.
        whole: the sum of `bottoms` over all units that there are; if all are sampled, nothing is unsure.
    """
    above, below = np.asarray(tops, np.float64), np.asarray(bottoms, np.float64)
    used = below > 0
    above, below = above[used], below[used]
    if not len(below):
        return Interval(0.0, 0.0, 0.0)
    value = float(above.sum() / below.sum())
    unsampled = max(1 - float(below.sum()) / whole, 0.0)
    if not value:
        return Interval(0.0, 0.0, 0.0)
    freedom = len(below) - 1
    if not freedom:
        return Interval.of(value, UNKNOWN * math.sqrt(unsampled))
    without = (above.sum() - above) / (below.sum() - below)
    squares = float(((without - without.mean()) ** 2).sum()) * freedom / len(below)
    return Interval.of(value, math.sqrt(squares * unsampled) / value * _t(freedom))


def _t(freedom: int) -> float:
    return _T[freedom - 1] if freedom <= len(_T) else 1.96 + 2.5 / freedom


def share(count: int, of: int, whole: int) -> Interval:
    """Return a share of rows with Wilson's interval, which holds for no case among a few rows too.

    Args:
        count: rows of the sample that are meant.
        of: rows of the sample.
        whole: all rows; of a sample that is everything, nothing is unsure.
    """
    if not of:
        return Interval(0.0, 0.0, 1.0 if whole else 0.0)
    found, z = count / of, _Z * math.sqrt(max(1 - of / max(whole, 1), 0.0))
    middle = (found + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * math.sqrt(found * (1 - found) / of + z * z / (4 * of * of))
    return Interval(found, min(max(middle - half, 0.0), found), max(min(middle + half, 1.0), found))


def rounds(slices: int, actors: int) -> float:
    """Return by how much the time grows because slices are whole: 5 slices take 4 actors as long as 8 do."""
    return math.ceil(slices / actors) / (slices / actors) if slices else 1.0
