"""The truth: how many labels are right, which are taken for which, and how far scores can be believed."""

from collections import Counter
from dataclasses import dataclass

from pipeline_lib.reporting.pages.drawing.reliability import Point, points_of
from pipeline_lib.statistics.evaluation import Evaluation

_MOST_LABELS = 12
_MOST_CONFUSIONS = 20


@dataclass(frozen=True)
class LabelQuality:
    """How well one label is found."""

    label: str
    f1: float
    true: int
    """Rows whose true label it is."""
    predicted: int
    right: int


@dataclass(frozen=True)
class TruthSection:
    """What a page shows of the truth."""

    found: Evaluation
    labels: list[LabelQuality]
    """Those with the most rows first."""
    matrix: list[tuple[str, list[tuple[int, float]]]]
    """By true label: the rows of each predicted label, and their share; empty where there are too many labels."""
    confusions: list[tuple[str, str, int]]
    """The most frequent mistakes: true label, predicted label, rows."""
    points: list[Point]


def truth_section(found: Evaluation | None) -> TruthSection | None:
    """Return what a page shows of the truth, or None where no row has one."""
    if found is None or not found.rows + found.unknown + found.without_truth:
        return None
    true, predicted = Counter[str](), Counter[str]()
    for (one, other), rows in found.confusion.items():
        true[one] += rows
        predicted[other] += rows
    f1 = found.f1
    labels = sorted(
        (
            LabelQuality(name, f1[name], true[name], predicted[name], found.confusion.get((name, name), 0))
            for name in f1
        ),
        key=lambda each: (-each.true, each.label),
    )
    names = [each.label for each in labels] if len(labels) <= _MOST_LABELS else []
    matrix = [
        (one, [(rows := found.confusion.get((one, other), 0), rows / max(true[one], 1)) for other in names])
        for one in names
    ]
    wrong = sorted((-rows, one, other) for (one, other), rows in found.confusion.items() if one != other)
    confusions = [(one, other, -rows) for rows, one, other in wrong[:_MOST_CONFUSIONS]]
    return TruthSection(found, labels, matrix, confusions, points_of(found.calibration))
