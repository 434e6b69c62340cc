"""What is counted of a slice while it is written: its statistics, and how often its labels are true."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline_lib.inputs import columns
from pipeline_lib.statistics.evaluation import Evaluation
from pipeline_lib.statistics.row_statistics import RowStatistics
from pipeline_lib.statistics.scored_rows import ScoredRows, score_bins

COUNTED = (
    *(columns.LABEL, columns.SCORE, columns.SCORES, columns.N_TOKENS, columns.TRUNCATED),
    *(columns.NEAR_BOUNDARY, columns.TEXT_HASH, columns.TRUTH),
)
"""The columns that are looked at, where a slice has them."""


def statistics_of(
    scored: pa.Table, rejected: Mapping[str, int], labels: Sequence[str], activation: str
) -> RowStatistics | None:
    """Return the statistics of a slice, or None if its scores were taken over, so that not all is known.

    Args:
        scored: the scored rows.
        rejected: number of rejected rows by code.
        labels: names of the model's labels by index.
        activation: `softmax`, `sigmoid` or `none`.
    """
    if columns.NEAR_BOUNDARY not in scored.column_names:
        return None
    rows = ScoredRows(
        labels=scored.column(columns.LABEL).to_pylist(),
        scores=_numbers(scored, columns.SCORE),
        tokens=_numbers(scored, columns.N_TOKENS),
        truncated=_numbers(scored, columns.TRUNCATED),
        near_boundary=_numbers(scored, columns.NEAR_BOUNDARY),
        text_hashes=_numbers(scored, columns.TEXT_HASH),
        all_scores=_all_scores(scored, labels),
    )
    return RowStatistics.of(score_bins(activation), rows, rejected)


def evaluation_of(scored: pa.Table, labels: Sequence[str], activation: str) -> Evaluation | None:
    """Return how often the labels of a slice are true, or None if the input has no truth.

    Args:
        scored: the scored rows.
        labels: names of the model's labels by index.
        activation: `softmax`, `sigmoid` or `none`.
    """
    if columns.TRUTH not in scored.column_names:
        return None
    scores = None if activation == "none" else _numbers(scored, columns.SCORE)
    return Evaluation.of(labels, _numbers(scored, columns.TRUTH), scored.column(columns.LABEL).to_pylist(), scores)


def _numbers(table: pa.Table, name: str) -> NDArray[Any]:
    return np.asarray(table.column(name).to_numpy())


def _all_scores(scored: pa.Table, labels: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    if columns.SCORES not in scored.column_names:
        return {}
    lists = scored.column(columns.SCORES).combine_chunks()
    matrix = lists.flatten().to_numpy().reshape(-1, len(labels))
    # Of equal names the first one counts.
    return {label: matrix[:, labels.index(label)] for label in labels}
