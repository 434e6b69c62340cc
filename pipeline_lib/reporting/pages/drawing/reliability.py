"""The calibration curve: of rows with a score near 0.9, nine of ten should have the right label."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline_lib.statistics.calibration import CONFIDENCE_BINS, ConfidenceBin

SIDE = 220
_MARGIN = 28


@dataclass(frozen=True)
class Point:
    """The rows of one bin."""

    x: float
    y: float
    radius: float
    words: str
    """The range of the scores."""
    rows: int
    confidence: float
    accuracy: float


def points_of(calibration: Mapping[int, ConfidenceBin]) -> list[Point]:
    """Return a point for each bin with rows; its area is in proportion to them, but never too small to be seen."""
    most = max((found.rows for found in calibration.values()), default=1)
    return [
        Point(
            x=at(found.confidence),
            y=SIDE - at(found.accuracy),
            radius=round(max(2.5, 9 * (found.rows / most) ** 0.5), 1),
            words=f"{number / CONFIDENCE_BINS:g} to {(number + 1) / CONFIDENCE_BINS:g}",
            rows=found.rows,
            confidence=found.confidence,
            accuracy=found.accuracy,
        )
        for number, found in sorted(calibration.items())
    ]


def at(share: float) -> float:
    """Return how far from the left or the bottom a share from 0 to 1 is drawn."""
    return round(_MARGIN + (SIDE - 2 * _MARGIN + 14) * share, 1)
