"""Two results of the same rows compared: labels that flip, and differences of scores. It adds up over slices."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.statistics.bins import DIFFERENCES
from pipeline_lib.statistics.histogram import Histogram

MOST_EXAMPLES = 20


class Example(NamedTuple):
    """A row that differs; compared by flip, difference and place, so that the same rows are always the examples."""

    flipped: bool
    difference: float
    """0 where it is not known."""
    shard: str
    row: int
    """Number of the row in its shard."""


class ShardComparison(NamedTuple):
    """How much a shard's rows differ."""

    rows: int
    flips: int
    largest: float

    def merged(self, other: "ShardComparison") -> "ShardComparison":
        """Return both slices of a shard together."""
        return ShardComparison(self.rows + other.rows, self.flips + other.flips, max(self.largest, other.largest))


def score_differences(
    one: NDArray[np.float32], other: NDArray[np.float32], flipped: NDArray[np.bool_], labels: int
) -> NDArray[np.float64]:
    """Return the differences of top scores, of shape [rows]; NaN where a flip hides them.

    The top scores of a row that flips are scores of two labels. With two labels of a softmax the score of one
    is 1 less that of the other, which gives the difference; with more labels it can't be known.

    Args:
        one: top scores of shape [rows].
        other: likewise.
        flipped: whether the labels differ.
        labels: number of labels of a softmax; 0 for another activation.
    """
    first, second = one.astype(np.float64), other.astype(np.float64)
    hidden = np.abs(first + second - 1) if labels == 2 else np.full(len(first), np.nan)
    return np.where(flipped, hidden, np.abs(first - second))


def largest_differences(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return each row's largest difference over all labels, from scores of shape [rows, labels]."""
    return np.abs(one.astype(np.float64) - other).max(axis=1, initial=0.0)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Comparison:
    """Two results of the same rows, compared."""

    shards: Mapping[str, ShardComparison] = field(default_factory=dict)
    """By path of the shard."""
    labels: Mapping[tuple[str, str], int] = field(default_factory=Counter)
    """Number of rows by label in the first result and label in the second."""
    differences: Histogram = field(default_factory=lambda: Histogram.empty(DIFFERENCES))
    """Of scores, where they are known."""
    examples: tuple[Example, ...] = ()
    """Rows that differ most: flips first, then by difference."""
    only_in_first: int = 0
    """Rows that only the first result has a score for."""
    only_in_second: int = 0

    @classmethod
    def of(
        cls,
        shard: str,
        rows: NDArray[np.int64],
        labels: tuple[Sequence[str], Sequence[str]],
        differences: NDArray[np.float64],
    ) -> Self:
        """Return the comparison of rows of one shard that both results have a score for.

        Args:
            shard: its path.
            rows: their numbers in the shard, of shape [rows].
            labels: of each row, in the first and in the second result.
            differences: of the scores, from `score_differences` or `largest_differences`.
        """
        if not len(rows):
            return cls()
        flipped = np.array([one != other for one, other in zip(*labels, strict=True)], np.bool_)
        known = np.nan_to_num(differences)
        # The last is the most important key.
        order = np.lexsort((rows, -known, ~flipped))[:MOST_EXAMPLES]
        return cls(
            shards={shard: ShardComparison(len(rows), int(flipped.sum()), float(known.max(initial=0.0)))},
            labels=Counter(zip(*labels, strict=True)),
            differences=Histogram.of(DIFFERENCES, differences[~np.isnan(differences)]),
            examples=_most(
                Example(bool(flipped[index]), float(known[index]), shard, int(rows[index])) for index in order
            ),
        )

    def __add__(self, other: Self) -> Self:
        """Return the comparison of the rows of both."""
        shards = dict(self.shards)
        for path, found in other.shards.items():
            shards[path] = shards[path].merged(found) if path in shards else found
        return type(self)(
            shards=dict(sorted(shards.items())),
            labels=Counter(self.labels) + Counter(other.labels),
            differences=self.differences + other.differences,
            examples=_most([*self.examples, *other.examples]),
            only_in_first=self.only_in_first + other.only_in_first,
            only_in_second=self.only_in_second + other.only_in_second,
        )

    @property
    def rows(self) -> int:
        """Rows that both results have a score for."""
        return sum(self.labels.values())

    @property
    def flips(self) -> int:
        """Rows whose labels differ."""
        return sum(count for (one, other), count in self.labels.items() if one != other)

    @property
    def largest(self) -> float:
        """Largest difference of a score; 0 without rows."""
        return max((shard.largest for shard in self.shards.values()), default=0.0)

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as JSON values: `by_label` by first label, then by second label."""
        by_label: dict[str, dict[str, int]] = {}
        for (one, other), count in sorted(self.labels.items()):
            by_label.setdefault(one, {})[other] = count
        return {
            "rows": self.rows,
            "flips": self.flips,
            "largest": self.largest,
            "only_in_first": self.only_in_first,
            "only_in_second": self.only_in_second,
            "by_label": by_label,
            "by_shard": {path: shard._asdict() for path, shard in sorted(self.shards.items())},
            "difference_bins": self.differences.bins.name,
            "differences": self.differences.to_text(),
            "examples": [example._asdict() for example in self.examples],
        }


def _most(examples: Any) -> tuple[Example, ...]:
    """Return the examples that differ most; rows without any difference are none."""
    differing = [example for example in examples if example.flipped or example.difference]
    return tuple(
        sorted(differing, key=lambda row: (not row.flipped, -row.difference, row.shard, row.row))[:MOST_EXAMPLES]
    )
