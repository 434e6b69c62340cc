"""Intervals for shares of rows, and for the difference of two shares."""

import math
from statistics import NormalDist

CONFIDENCE = 0.99


def critical_value(comparisons: int = 1, confidence: float = CONFIDENCE) -> float:
    """Return how many standard errors an interval spans to each side, by Bonferroni over several comparisons."""
    return NormalDist().inv_cdf(1 - (1 - confidence) / (2 * max(comparisons, 1)))


def wilson_interval(share: float, rows: float, z: float) -> tuple[float, float]:
    """Return the score interval of a share (E. B. Wilson 1927).

    Args:
        share: observed, from 0 to 1.
        rows: that it was observed in, more than 0; a fraction where a design effect reduced them.
        z: standard errors to each side.
    """
    center = share + z * z / (2 * rows)
    half = z * math.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows))
    scale = 1 + z * z / rows
    return max(0.0, (center - half) / scale), min(1.0, (center + half) / scale)


def newcombe_interval(
    share: float, rows: float, other_share: float, other_rows: float, z: float
) -> tuple[float, float]:
    """Return the interval of the difference of two shares (R. G. Newcombe 1998, method 10).

    Args:
        share: of the first sample, from 0 to 1.
        rows: of the first sample, more than 0.
        other_share: of the second sample.
        other_rows: of the second sample, more than 0.
        z: standard errors to each side.

    Returns:
        Lowest and highest difference of the first share from the second.
    """
    low, high = wilson_interval(share, rows, z)
    other_low, other_high = wilson_interval(other_share, other_rows, z)
    difference = share - other_share
    below = math.hypot(share - low, other_high - other_share)
    above = math.hypot(high - share, other_share - other_low)
    return difference - below, difference + above


def certain_difference(share: float, rows: float, other_share: float, other_rows: float, z: float) -> float:
    """Return the least difference that the interval leaves, without its sign; 0 where the interval has 0 in it."""
    low, high = newcombe_interval(share, rows, other_share, other_rows, z)
    return max(0.0, low, -high)
