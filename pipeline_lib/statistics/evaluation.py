"""How often the labels are true, and how far the scores can be believed: counts that add up over slices."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.statistics.truth import NO_TRUTH, UNKNOWN

CONFIDENCE_BINS = 20
"""Of the calibration curve: each is 0.05 wide, and an edge belongs to the bin below it."""

# Scores are summed as whole numbers of this unit, since sums of floats depend on their order.
_UNIT = 2.0**-32

_EDGES = np.linspace(0, 1, CONFIDENCE_BINS + 1)[1:-1]


@dataclass(frozen=True)
class ConfidenceBin:
    """Rows whose score is between two edges."""

    rows: int = 0
    right: int = 0
    """Rows whose label is true."""
    units: int = 0
    """Sum of the scores, in units of 2^-32."""

    def __add__(self, other: Self) -> Self:
        """Return the rows of both."""
        return type(self)(self.rows + other.rows, self.right + other.right, self.units + other.units)

    @property
    def confidence(self) -> float:
        """Mean score."""
        return self.units * _UNIT / self.rows

    @property
    def accuracy(self) -> float:
        """Share of the rows whose label is true."""
        return self.right / self.rows


@dataclass(frozen=True)
class Evaluation:
    """Labels compared with the truth."""

    confusion: Mapping[tuple[str, str], int] = field(default_factory=Counter)
    """Number of rows by true label and predicted label."""
    calibration: Mapping[int, ConfidenceBin] = field(default_factory=dict)
    """By number of the bin of the score, from 0; without empty ones. Empty if scores are no probabilities."""
    without_truth: int = 0
    """Scored rows without a truth: not counted in anything else."""
    unknown: int = 0
    """Scored rows whose truth stands for no label: not counted in anything else."""

    @classmethod
    def of(
        cls,
        labels: Sequence[str],
        truth: NDArray[np.int64],
        predicted: Sequence[str],
        scores: NDArray[np.float32] | None,
    ) -> Self:
        """Return the evaluation of scored rows.

        Args:
            labels: names of the model's labels by index.
            truth: of each row, from `TruthLabels.indices`.
            predicted: label of each row.
            scores: of each row's label, from 0 to 1; None if they are no probabilities.
        """
        rows = np.flatnonzero(truth >= 0)
        pairs = Counter((labels[truth[row]], predicted[row]) for row in rows)
        calibration: dict[int, ConfidenceBin] = {}
        if scores is not None:
            sure = scores[rows].astype(np.float64)
            right = np.array([labels[truth[row]] == predicted[row] for row in rows], np.bool_)
            bins = np.searchsorted(_EDGES, sure, side="left")
            units = np.rint(sure / _UNIT).astype(np.int64)
            calibration = {
                int(number): ConfidenceBin(
                    rows=int((bins == number).sum()),
                    right=int(right[bins == number].sum()),
                    units=int(units[bins == number].sum()),
                )
                for number in np.unique(bins)
            }
        return cls(pairs, calibration, int((truth == NO_TRUTH).sum()), int((truth == UNKNOWN).sum()))

    def __add__(self, other: Self) -> Self:
        """Return the evaluation of the rows of both."""
        numbers = sorted({*self.calibration, *other.calibration})
        none = ConfidenceBin()
        return type(self)(
            Counter(self.confusion) + Counter(other.confusion),
            {n: self.calibration.get(n, none) + other.calibration.get(n, none) for n in numbers},
            self.without_truth + other.without_truth,
            self.unknown + other.unknown,
        )

    @property
    def rows(self) -> int:
        """Rows with a truth."""
        return sum(self.confusion.values())

    @property
    def accuracy(self) -> float | None:
        """Share of these rows whose label is true; None without rows."""
        right = sum(count for (true, predicted), count in self.confusion.items() if true == predicted)
        return right / self.rows if self.rows else None

    @property
    def f1(self) -> dict[str, float]:
        """By label 2 TP / (2 TP + FP + FN), of the labels that are true or predicted at least once."""
        true: Counter[str] = Counter()
        predicted: Counter[str] = Counter()
        for (one, other), count in self.confusion.items():
            true[one] += count
            predicted[other] += count
        return {
            label: 2 * self.confusion.get((label, label), 0) / (true[label] + predicted[label])
            for label in sorted({*true, *predicted})
        }

    @property
    def calibration_error(self) -> float | None:
        """Expected calibration error (C. Guo et al. 2017): mean of |accuracy - mean score| over bins, by rows."""
        rows = sum(of.rows for of in self.calibration.values())
        gaps = (of.rows * abs(of.accuracy - of.confidence) for of in self.calibration.values())
        return sum(gaps) / rows if rows else None

    def to_json(self) -> dict[str, Any]:
        """Return figures and counts as JSON values, for receipts and for `truth` in `_metrics.json`.

        `confusion` has the rows by true label, then by predicted label. `calibration` is a list of `[bin, rows,
        right, units]`: the bin of the score, its rows, those whose label is true, and the sum of their scores
        times 2^32.
        """
        confusion: dict[str, dict[str, int]] = {}
        for (true, predicted), count in sorted(self.confusion.items()):
            confusion.setdefault(true, {})[predicted] = count
        return {
            "rows": self.rows,
            "accuracy": self.accuracy,
            "f1": self.f1,
            "confusion": confusion,
            "calibration_error": self.calibration_error,
            "calibration": [[n, of.rows, of.right, of.units] for n, of in sorted(self.calibration.items())],
            "without_truth": self.without_truth,
            "unknown": self.unknown,
        }

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Return the evaluation that `to_json` wrote; its figures are computed again from the counts.

        Raises:
            ValueError: the value is none.
        """
        try:
            return cls(
                Counter(
                    {(true, of): _count(n) for true, row in value["confusion"].items() for of, n in row.items()}
                ),
                {_count(n): ConfidenceBin(*map(_count, counts)) for n, *counts in value["calibration"]},
                _count(value["without_truth"]),
                _count(value["unknown"]),
            )
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"no evaluation: {error!r}") from error


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no number of rows")
    return value
