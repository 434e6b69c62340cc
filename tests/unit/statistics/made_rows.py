"""Scored rows and their statistics, made at random, for the tests of this folder."""

from collections.abc import Sequence

import numpy as np

from pipeline_lib.statistics.bins import PROBABILITIES
from pipeline_lib.statistics.row_statistics import RowStatistics
from pipeline_lib.statistics.scored_rows import ScoredRows, near_boundary
from pipeline_lib.statistics.text_sample import text_hashes

LABELS = ("NEGATIVE", "POSITIVE")


def rows_of(
    logits: Sequence[float] | np.ndarray, *, seed: int = 0, texts: Sequence[bytes] | None = None
) -> ScoredRows:
    """Return rows of a softmax of two labels, from the logits of the second label."""
    positive = (1 / (1 + np.exp(-np.asarray(logits, np.float64)))).astype(np.float32)
    both = np.stack([1 - positive, positive], axis=1)
    best = both.argmax(axis=1)
    tokens = np.random.default_rng(seed).poisson(40, len(positive))
    return ScoredRows(
        labels=[LABELS[index] for index in best],
        scores=both[np.arange(len(best)), best],
        tokens=tokens,
        truncated=tokens > 50,
        near_boundary=near_boundary(both, "softmax"),
        text_hashes=text_hashes([b"%d-%d" % (seed, row) for row in range(len(best))] if texts is None else texts),
    )


def night(rows: int, seed: int, *, shift: float = 0.0, texts: Sequence[bytes] | None = None) -> RowStatistics:
    """Return the statistics of a night whose scores pile up near 0 and 1, all moved by a shift of the logit."""
    random = np.random.default_rng(seed)
    logits = np.where(random.random(rows) < 0.3, random.normal(-3, 2, rows), random.normal(4, 2, rows)) + shift
    return RowStatistics.of(PROBABILITIES, rows_of(logits, seed=seed, texts=texts), {})
