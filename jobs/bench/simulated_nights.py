"""Nights to try the drift gate on: drawn from a distribution of scores, each a little different from the others.

A population is the shares of the fine bins of one label's score, in a model of two labels. It is changed by
exponential tilting: bins high in the order of scores gain, low ones lose, which moves scores and label shares
together, whatever the distribution. The strength of a change is given as its population stability index.
"""

import math
from collections.abc import Iterable

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline_lib.inputs.columns import LABEL, SCORE
from pipeline_lib.statistics.bins import PROBABILITIES, TOKENS
from pipeline_lib.statistics.histogram import Histogram, quantile_cuts
from pipeline_lib.statistics.row_statistics import RowStatistics

Shares = NDArray[np.float64]

# Share, mean and deviation of the logits of two groups of rows.
PILED = ((0.22, -3.0, 2.0), (0.78, 4.8, 1.5))
"""As the sample's model scores reviews of clothes: most scores within 0.05 of 0 or 1."""
SPREAD = ((1.0, 0.4, 1.5),)
"""An undecided model."""

_HALF = PROBABILITIES.edges.index(0.5) + 1


def population(groups: Iterable[tuple[float, float, float]]) -> Shares:
    """Return the shares of the fine bins, of shape [bins], of a mixture of normal distributions of logits."""
    logits = [math.log(edge / (1 - edge)) for edge in PROBABILITIES.edges]
    below = sum(
        share * np.array([0.0, *(math.erf((logit - mean) / deviation / 2**0.5) / 2 + 0.5 for logit in logits), 1.0])
        for share, mean, deviation in groups
    )
    shares: Shares = np.diff(below)
    return shares


def population_of(folder: str) -> Shares:
    """Return the shares of the fine bins of the second label's score in a published output of two labels."""
    table = pq.read_table(folder, columns=[LABEL, SCORE])
    labels = np.array(table.column(LABEL).to_pylist())
    scores = table.column(SCORE).to_numpy()
    second = max(set(labels.tolist()))
    histogram = Histogram.of(PROBABILITIES, np.where(labels == second, scores, 1 - scores))
    shares: Shares = histogram.counts / histogram.total
    return shares


def tilted(shares: Shares, strength: float) -> Shares:
    """Return a population in which high scores are more frequent, or less frequent if the strength is negative."""
    middle = np.cumsum(shares) - shares / 2
    changed: Shares = shares * np.exp(strength * (middle - 0.5))
    changed /= changed.sum()
    return changed


def index_between(one: Shares, other: Shares) -> float:
    """Return the population stability index in ten bins that have equal shares in the first population."""
    cuts = quantile_cuts(Histogram(PROBABILITIES, np.rint(one * 1e9).astype(np.int64)))
    p, q = (np.add.reduceat(shares, [0, *cuts]) for shares in (one, other))
    return float(np.sum((p - q) * np.log(p / q)))


def strength_of(shares: Shares, index: float) -> float:
    """Return the strength of the change that has a population stability index."""
    low, high = 0.0, 20.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if index_between(shares, tilted(shares, middle)) < index else (low, middle)
    return low


def drawn(shares: Shares, rows: int, random: np.random.Generator) -> Histogram:
    """Return the histogram of a random sample of a population."""
    return Histogram(PROBABILITIES, random.multinomial(rows, shares))


def night_of(scores: Histogram) -> RowStatistics:
    """Return the statistics of a night with these scores of its second label; all texts have the same length."""
    positive, negative = scores.counts.copy(), scores.counts[::-1].copy()
    positive[:_HALF] = 0
    negative[: len(negative) - _HALF] = 0
    tokens = np.zeros(len(TOKENS), np.int64)
    tokens[20] = scores.total
    return RowStatistics(
        bins=PROBABILITIES,
        label_scores={
            "NEGATIVE": Histogram(PROBABILITIES, negative),
            "POSITIVE": Histogram(PROBABILITIES, positive),
        },
        tokens=Histogram(TOKENS, tokens),
    )
