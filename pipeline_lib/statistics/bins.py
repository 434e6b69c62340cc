"""The bins of the histograms: fixed once and for all, so that any two histograms can be added and compared later.

A change of edges needs a new name, since histograms that are stored refer to their bins by name.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

# Ten steps a decade, each about 26% wide: the R10 series of preferred numbers (ISO 3).
_R10 = (1.0, 1.25, 1.6, 2.0, 2.5, 3.15, 4.0, 5.0, 6.3, 8.0)


@dataclass(frozen=True)
class Bins:
    """Bins between ascending edges; the first and the last bin are open, so that every number has a bin.

    Edges are compared in float32, the type of a score: a score that prints as 0.9 is in the bin that begins at 0.9.
    """

    name: str
    edges: tuple[float, ...]
    """One fewer than there are bins."""
    upper_inclusive: bool = False
    """Whether an edge belongs to the bin below it, instead of the one above."""

    def __len__(self) -> int:
        return len(self.edges) + 1

    @cached_property
    def _edges(self) -> NDArray[np.float32]:
        return np.array(self.edges, np.float32)

    def indices(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """Return the bin of each value.

        Raises:
            ValueError: a value is NaN.
        """
        numbers = np.asarray(values, np.float32)
        if np.isnan(numbers).any():
            raise ValueError("NaN has no bin")
        side: Literal["left", "right"] = "left" if self.upper_inclusive else "right"
        found: NDArray[np.int64] = np.searchsorted(self._edges, numbers, side=side).astype(np.int64)
        return found


def _decades(first: int, last: int) -> list[float]:
    """Return ten numbers for each decade, from `10**first` to before `10**last`; exact to the last decimal."""
    return [float(f"{step}e{power}") for power in range(first, last) for step in _R10]


def _probability_edges() -> Iterable[float]:
    near_zero = _decades(-6, -2)
    yield from near_zero
    yield from (hundredth / 100 for hundredth in range(1, 100))
    yield from (float(f"{1 - edge:.9f}") for edge in reversed(near_zero))


def _number_edges() -> Iterable[float]:
    positive = [float(f"{10 ** (power / 40):.4g}") for power in range(-80, 121)]
    yield from (-edge for edge in reversed(positive))
    yield 0.0
    yield from positive


def _token_edges() -> Iterable[float]:
    yield from range(17)
    for octave in range(4, 20):
        yield from ((1 << octave) + (step << octave) // 8 for step in range(1, 9))


PROBABILITIES = Bins("probabilities-1", tuple(_probability_edges()))
"""Scores of softmax and sigmoid: 180 bins. They are 0.01 wide from 0.01 to 0.99. Nearer to 0 and to 1, where such
scores pile up, ten bins share each decade, down to 0.000001: about 0.23 of a logit each."""

NUMBERS = Bins("numbers-1", tuple(_number_edges()))
"""Scores without an activation: 404 bins on both sides of 0, each 6% wide, from 0.01 to 1,000."""

TOKENS = Bins("tokens-1", tuple(_token_edges()), upper_inclusive=True)
"""Lengths in tokens: 146 bins. One for each length to 16, then eight for each doubling, to 1,048,576. An edge
belongs to the bin below it, so that the usual limits (128, 512, 8192) are the longest length of a bin."""

DIFFERENCES = Bins("differences-1", tuple(_decades(-8, 0)))
"""Differences of scores: 81 bins. The first is below 1e-8, the last is 0.8 and above, ten share each decade
between."""

SCORE_BINS = {bins.name: bins for bins in (PROBABILITIES, NUMBERS)}
