"""The columns of scored rows that are counted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.statistics.bins import NUMBERS, PROBABILITIES, Bins

MARGIN = 0.1
"""A row is near the boundary if the next label's score is less than this below."""


def score_bins(activation: str) -> Bins:
    """Return the bins for the scores of an activation: `softmax`, `sigmoid` or `none`."""
    return NUMBERS if activation == "none" else PROBABILITIES


def near_boundary(scores: NDArray[np.float32], activation: str) -> NDArray[np.bool_]:
    """Tell for each row whether a small change of the scores would give it another answer.

    softmax: the second-best label is less than `MARGIN` below the best. sigmoid, where each label stands alone: a
    score is less than half of it from 0.5. Without an activation there is no boundary.

    Args:
        scores: shape [rows, labels].
        activation: `softmax`, `sigmoid` or `none`.
    """
    if activation == "none" or not scores.size:
        return np.zeros(len(scores), np.bool_)
    if activation == "sigmoid":
        return np.asarray((np.abs(scores.astype(np.float64) - 0.5) < MARGIN / 2).any(axis=1), np.bool_)
    if scores.shape[1] < 2:
        return np.zeros(len(scores), np.bool_)
    best = np.partition(scores.astype(np.float64), -2, axis=1)[:, -2:]
    return np.asarray(best[:, 1] - best[:, 0] < MARGIN, np.bool_)


@dataclass(frozen=True)
class ScoredRows:
    """The columns of some rows from which their statistics are made; all of shape [rows]."""

    labels: Sequence[str]
    scores: NDArray[np.float32]
    """Of each row's label."""
    tokens: NDArray[np.integer[Any]]
    """Lengths before truncation."""
    truncated: NDArray[np.bool_]
    near_boundary: NDArray[np.bool_]
    text_hashes: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))
    """Of each row's text, from `text_sample.text_hashes`; a few of them are kept."""
    all_scores: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """Scores of every row by label, if they are published."""
