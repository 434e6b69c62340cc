"""How often the labels are true, and how far the scores can be believed: counts that add up over slices."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.statistics.calibration import (
    ConfidenceBin,
    calibration_of,
    expected_error,
    merged,
    read_bin,
    whole,
)
from pipeline_lib.statistics.truth import NO_TRUTH, UNKNOWN


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
        true, guess = [labels[index] for index in truth[rows].tolist()], [predicted[row] for row in rows.tolist()]
        right = np.array([one == other for one, other in zip(true, guess, strict=True)], np.bool_)
        calibration = {} if scores is None else calibration_of(scores[rows], right)
        pairs = Counter(zip(true, guess, strict=True))
        return cls(pairs, calibration, int((truth == NO_TRUTH).sum()), int((truth == UNKNOWN).sum()))

    def __add__(self, other: Self) -> Self:
        """Return the evaluation of the rows of both."""
        return type(self)(
            Counter(self.confusion) + Counter(other.confusion),
            merged(self.calibration, other.calibration),
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
        """Expected calibration error of the scores; None without rows or if they are no probabilities."""
        return expected_error(self.calibration)

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
            "calibration": [[number, *found] for number, found in sorted(self.calibration.items())],
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
                    {(true, of): whole(n) for true, row in value["confusion"].items() for of, n in row.items()}
                ),
                dict(map(read_bin, value["calibration"])),
                whole(value["without_truth"]),
                whole(value["unknown"]),
            )
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"no evaluation: {error!r}") from error
