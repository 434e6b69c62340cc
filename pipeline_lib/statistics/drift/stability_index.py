"""The population stability index (PSI) of two samples, corrected so that samples of one population raise no alarm.

PSI is the sum over bins of (p - q) ln(p / q). Without any change its mean is (1/n + 1/m)(bins - 1), and not 0:
between two samples of 100 rows in 10 bins it is 0.18. The correction subtracts this mean and 2.33 standard
errors, those of a noncentral chi-square distribution, which PSI / (1/n + 1/m) approaches for small changes.
Nights differ by more than chance, so sampling noise is multiplied by a design effect that is measured on accepted
nights.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from pipeline_lib.statistics.histogram import Counts

_Z = 2.33
"""The 99th percentile of the normal distribution."""


@dataclass(frozen=True)
class StabilityIndex:
    """The PSI between two samples, and what of it chance does not explain."""

    index: float
    """As the formula gives it, of smoothed shares."""
    adjusted: float
    """Less its mean without a change; 0 at least."""
    lower_bound: float
    """The adjusted index less 2.33 standard errors; may be negative."""


def raw_index(one: Counts, other: Counts) -> float:
    """Return the PSI of two counts of shape [bins]; shares are smoothed as (count + 1/2) / (total + bins/2)."""
    bins = len(one)
    p = (one + 0.5) / (one.sum() + bins / 2)
    q = (other + 0.5) / (other.sum() + bins / 2)
    return float(np.sum((p - q) * np.log(p / q)))


def _noise(one: Counts, other: Counts) -> float:
    """Return 1/n + 1/m."""
    return 1 / int(one.sum()) + 1 / int(other.sum())


def stability_index(one: Counts, other: Counts, design_effect: float = 1.0) -> StabilityIndex:
    """Return the PSI of two counts of shape [bins], corrected for chance.

    Args:
        one: of at least one value.
        other: of at least one value.
        design_effect: variance between nights over variance of random samples.
    """
    index = raw_index(one, other)
    noise, free = design_effect * _noise(one, other), len(one) - 1
    adjusted = max(0.0, index - free * noise)
    error = math.sqrt(2 * free * noise**2 + 4 * noise * adjusted)
    return StabilityIndex(index, adjusted, adjusted - _Z * error)


def design_effect(samples: Sequence[Counts]) -> float:
    """Return how many times more the samples of several nights differ than random samples of one population would.

    It is the median, over nights, of the PSI between the night and all others together, over its mean without a
    change.

    Args:
        samples: counts of shape [bins] of each night; nights without values are left out.

    Returns:
        1 at least, and 1 where there are fewer than two nights.
    """
    samples = [sample for sample in samples if sample.sum()]
    if len(samples) < 2 or len(samples[0]) < 2:
        return 1.0
    total = np.sum(samples, axis=0)
    ratios = [
        raw_index(sample, total - sample) / ((len(sample) - 1) * _noise(sample, total - sample))
        for sample in samples
    ]
    return max(1.0, median(ratios))
