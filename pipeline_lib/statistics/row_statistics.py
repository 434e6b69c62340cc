"""What is counted of scored rows: of a slice, and by addition of a shard, a night, or several nights."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.statistics.bins import SCORE_BINS, TOKENS, Bins
from pipeline_lib.statistics.calibration import UNIT
from pipeline_lib.statistics.histogram import Histogram, pooled
from pipeline_lib.statistics.scored_rows import ScoredRows
from pipeline_lib.statistics.text_sample import TextSample

MOST_LABELS = 32
"""Labels of which the scores of all rows are counted: a checkpoint may have thousands."""

_LARGEST = 2.0**30
"""Scores without an activation are summed as if they were between this and its negative."""


@dataclass(frozen=True)
class RowStatistics:
    """Numbers of rows; the statistics of two sets of rows add up to those of both, whatever the order."""

    bins: Bins
    """Of the scores: `PROBABILITIES` or `NUMBERS`."""
    label_scores: Mapping[str, Histogram] = field(default_factory=dict)
    """By label, the scores of the rows that got this label: as many as there are scored rows, over all labels."""
    all_scores: Mapping[str, Histogram] = field(default_factory=dict)
    """By label, its scores in all rows, of `MOST_LABELS` labels at most; empty if only the top scores are
    published."""
    tokens: Histogram = field(default_factory=lambda: Histogram.empty(TOKENS))
    truncated: int = 0
    near_boundary: int = 0
    duplicates: int = 0
    """Rows whose text occurred before in the same slice."""
    texts: TextSample = field(default_factory=TextSample)
    """Also finds duplicates in different slices."""
    rejected: Mapping[str, int] = field(default_factory=dict)
    """Rejected rows by code."""
    score_units: int = 0
    """Sum of the scores of each row's own label, in units of 2^-32: a sum of floats depends on their order."""
    token_sum: int = 0
    """Sum of the lengths."""

    @classmethod
    def of(cls, bins: Bins, rows: ScoredRows, rejected: Mapping[str, int]) -> Self:
        """Return the statistics of a slice.

        Args:
            bins: of the scores, from `score_bins`.
            rows: the scored rows.
            rejected: number of rejected rows by code.

        Raises:
            ValueError: a score is NaN.
        """
        names, codes = np.unique(np.asarray(rows.labels, np.str_), return_inverse=True)
        label_scores = {
            str(name): Histogram.of(bins, rows.scores[codes == code]) for code, name in enumerate(names.tolist())
        }
        published = list(rows.all_scores.items())[:MOST_LABELS]
        return cls(
            bins=bins,
            label_scores=label_scores,
            all_scores={label: Histogram.of(bins, scores) for label, scores in published},
            tokens=Histogram.of(TOKENS, rows.tokens),
            truncated=int(rows.truncated.sum()),
            near_boundary=int(rows.near_boundary.sum()),
            duplicates=len(rows.text_hashes) - len(np.unique(rows.text_hashes)),
            texts=TextSample.of(rows.text_hashes),
            rejected={code: count for code, count in sorted(rejected.items()) if count},
            score_units=_units(rows.scores),
            token_sum=int(rows.tokens.sum(dtype=np.int64)),
        )

    @property
    def labels(self) -> dict[str, int]:
        """Number of scored rows by label."""
        return {label: scores.total for label, scores in self.label_scores.items()}

    @property
    def scored(self) -> int:
        """Number of scored rows."""
        return sum(self.labels.values())

    @property
    def top_scores(self) -> Histogram:
        """The score of each row's own label."""
        return pooled(self.bins, self.label_scores.values())

    @property
    def mean_score(self) -> float | None:
        """Mean of the scores of each row's own label; None without rows."""
        return self.score_units * UNIT / self.scored if self.scored else None

    def __add__(self, other: Self) -> Self:
        """Return the statistics of the rows of both.

        Raises:
            ValueError: the bins of their scores differ.
        """
        if self.bins.name != other.bins.name:
            raise ValueError(f"scores in bins {self.bins.name!r} can't be added to {other.bins.name!r}")
        return type(self)(
            bins=self.bins,
            label_scores=_summed(self.label_scores, other.label_scores),
            all_scores=_summed(self.all_scores, other.all_scores),
            tokens=self.tokens + other.tokens,
            truncated=self.truncated + other.truncated,
            near_boundary=self.near_boundary + other.near_boundary,
            duplicates=self.duplicates + other.duplicates,
            texts=self.texts + other.texts,
            rejected={
                code: self.rejected.get(code, 0) + other.rejected.get(code, 0)
                for code in sorted({*self.rejected, *other.rejected})
            },
            score_units=self.score_units + other.score_units,
            token_sum=self.token_sum + other.token_sum,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the statistics as JSON values, for receipts and `_metrics.json`."""
        return {
            "score_bins": self.bins.name,
            "token_bins": self.tokens.bins.name,
            "scored": self.scored,
            "label_scores": {label: scores.to_text() for label, scores in sorted(self.label_scores.items())},
            "all_scores": {label: scores.to_text() for label, scores in sorted(self.all_scores.items())},
            "tokens": self.tokens.to_text(),
            "truncated": self.truncated,
            "near_boundary": self.near_boundary,
            "duplicates": self.duplicates,
            "texts": self.texts.to_text(),
            "rejected": dict(self.rejected),
            "score_units": self.score_units,
            "token_sum": self.token_sum,
        }

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Return the statistics that `to_json` wrote.

        Raises:
            ValueError: the value has other keys, bins or types, or its counts do not add up.
        """
        try:
            bins = SCORE_BINS[value["score_bins"]]
            if value["token_bins"] != TOKENS.name:
                raise ValueError(f"unknown bins {value['token_bins']!r}")
            whole = {name: _count(value[name]) for name in ("truncated", "near_boundary", "duplicates")}
            units = value["score_units"]
            if type(units) is not int:
                raise ValueError(f"{units!r} is no sum of scores")
            statistics = cls(
                bins=bins,
                label_scores={k: Histogram.from_text(bins, text) for k, text in value["label_scores"].items()},
                all_scores={k: Histogram.from_text(bins, text) for k, text in value["all_scores"].items()},
                tokens=Histogram.from_text(TOKENS, value["tokens"]),
                texts=TextSample.from_text(value["texts"]),
                rejected={code: _count(count) for code, count in value["rejected"].items()},
                score_units=units,
                token_sum=_count(value["token_sum"]),
                **whole,
            )
            scored = _count(value["scored"])
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"no statistics of rows: {error!r}") from error
        if scored != statistics.scored or scored != statistics.tokens.total or max(whole.values()) > scored:
            raise ValueError("the counts do not add up to the scored rows")
        return statistics


def _units(scores: NDArray[np.float32]) -> int:
    exact = np.clip(scores.astype(np.float64), -_LARGEST, _LARGEST)
    # Python's own whole numbers, which do not overflow.
    return sum(np.rint(exact / UNIT).astype(np.int64).tolist())


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no number of rows")
    return value


def _summed(some: Mapping[str, Histogram], others: Mapping[str, Histogram]) -> dict[str, Histogram]:
    return {
        name: some[name] + others[name] if name in some and name in others else some.get(name) or others[name]
        for name in sorted({*some, *others})
    }
