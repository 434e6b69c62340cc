"""How far scores can be believed: of the rows with a score near 0.9, nine of ten should have the right label."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

CONFIDENCE_BINS = 20
"""Of the calibration curve: each is 0.05 wide, and an edge belongs to the bin below it."""

UNIT = 2.0**-32
"""Scores are summed as whole numbers of this unit, since a sum of floats depends on their order."""

_EDGES = np.linspace(0, 1, CONFIDENCE_BINS + 1)[1:-1]


class ConfidenceBin(NamedTuple):
    """Rows whose score is between two edges."""

    rows: int
    right: int
    """Rows whose label is true."""
    units: int
    """Sum of the scores, in units of 2^-32."""

    @property
    def confidence(self) -> float:
        """Mean score."""
        return self.units * UNIT / self.rows

    @property
    def accuracy(self) -> float:
        """Share of the rows whose label is true."""
        return self.right / self.rows


Calibration = Mapping[int, ConfidenceBin]
"""By number of the bin, from 0; without empty ones."""


def calibration_of(scores: NDArray[np.float32], right: NDArray[np.bool_]) -> Calibration:
    """Return the bins of rows.

    Args:
        scores: of each row's label, from 0 to 1.
        right: whether the label is true.
    """
    exact = scores.astype(np.float64)
    bins = np.searchsorted(_EDGES, exact, side="left")
    units = np.rint(exact / UNIT).astype(np.int64)
    return {
        int(number): ConfidenceBin(
            rows=int((bins == number).sum()),
            right=int(right[bins == number].sum()),
            units=int(units[bins == number].sum()),
        )
        for number in np.unique(bins)
    }


def merged(one: Calibration, other: Calibration) -> Calibration:
    """Return the bins of the rows of both."""
    none = ConfidenceBin(0, 0, 0)
    return {
        number: ConfidenceBin(*(a + b for a, b in zip(one.get(number, none), other.get(number, none), strict=True)))
        for number in sorted({*one, *other})
    }


def expected_error(calibration: Calibration) -> float | None:
    """Return the expected calibration error (C. Guo et al. 2017), or None without rows.

    It is the mean over bins, by rows, of the difference between the share of right labels and the mean score.
    """
    rows = sum(found.rows for found in calibration.values())
    gaps = (found.rows * abs(found.accuracy - found.confidence) for found in calibration.values())
    return sum(gaps) / rows if rows else None


def read_bin(value: Any) -> tuple[int, ConfidenceBin]:
    """Return a bin and its number from `[number, rows, right, units]`.

    Raises:
        ValueError: the value is none.
    """
    number, rows, right, units = map(whole, value)
    if number >= CONFIDENCE_BINS or not rows or right > rows:
        raise ValueError(f"{value!r} is no bin of a calibration curve")
    return number, ConfidenceBin(rows, right, units)


def whole(value: Any) -> int:
    """Return a number of rows as it was read from JSON.

    Raises:
        ValueError: it is no whole number, or negative.
    """
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no number of rows")
    return value
