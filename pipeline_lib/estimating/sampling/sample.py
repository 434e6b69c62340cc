"""What is known of the sampled slices, and which slices are sampled. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipeline_lib.inputs.shards import Slice

_MOST_SLICES = 512
_GOLDEN = 0.6180339887498949

FEWEST_ROWS = 64
"""Of a slice that is cut short: enough for some batches of like lengths."""


@dataclass(frozen=True)
class Unit:
    """A slice, or its first rows, as it went through the steps."""

    rows: int
    tokens: int
    """After truncation."""
    truncated: int
    rejected: Mapping[str, int] = field(default_factory=dict)
    """Rows by code."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """By stage: tokenizer (with reading), model, writer; empty if the rows were tokenized alone."""
    part_bytes: int = 0
    reject_bytes: int = 0


@dataclass(frozen=True)
class Measured:
    """What one process measured."""

    start_seconds: float
    """From its start until its model was loaded."""
    start_cpu_seconds: float
    """That it computed for until then."""
    warm: Sequence[Unit]
    """The first units, which take longer than others of their size."""
    units: Sequence[Unit]
    empty_part_bytes: int
    """Size of a part without rows."""
    joined_share: float = 1.0
    """Bytes of all rows in one file, less those that any file has, over the bytes of the slices' files."""
    joined_file_bytes: float = 0.0
    """That any file has, however many rows are in it; those of a file of rejects are added if there is one."""


@dataclass(frozen=True)
class Sample:
    """What processes measured, all of them at work at the same time."""

    units: Sequence[Unit]
    processes: int
    start_seconds: float
    """From the start of a process until its model was loaded, the slowest of them."""
    empty_part_bytes: int = 0
    """Size of a part without rows."""
    stretch: float = 1.0
    """How many times longer than it computes a process takes to start: other work on the machine."""
    warm: Sequence[Unit] = ()
    """The first units of all processes, which take longer than others of their size."""
    joined_share: float = 1.0
    """See `Measured`; likewise the next field."""
    joined_file_bytes: float = 0.0

    @classmethod
    def of(cls, parts: Sequence[Measured]) -> "Sample":
        """Return what several processes measured."""
        return cls(
            units=[unit for part in parts for unit in part.units],
            processes=len(parts),
            start_seconds=max(part.start_seconds for part in parts),
            empty_part_bytes=max(part.empty_part_bytes for part in parts),
            joined_share=sum(part.joined_share for part in parts) / len(parts),
            joined_file_bytes=sum(part.joined_file_bytes for part in parts) / len(parts),
            stretch=max(1.0, *(part.start_seconds / max(part.start_cpu_seconds, 0.1) for part in parts)),
            warm=[unit for part in parts for unit in part.warm],
        )

    @property
    def scored(self) -> list[Unit]:
        """The units that went through all steps."""
        return [unit for unit in self.units if unit.seconds]

    @property
    def rejected(self) -> Counter[str]:
        """Rejected rows by code, of the units that went through all steps, where these find more reasons."""
        return sum((Counter(unit.rejected) for unit in self.scored), Counter())


def spread(slices: Sequence[Slice]) -> list[Slice]:
    """Return slices in an order in which the first few of them are spread over all of the input.

    Multiples of the golden ratio fill an interval evenly, however many are taken.
    """
    chosen = slices[:: max(len(slices) // _MOST_SLICES, 1)]
    order = np.argsort(np.argsort((np.arange(len(chosen)) * _GOLDEN + 0.5) % 1))
    return [chosen[int(at)] for at in order]


def rows_of_a_unit(part: Slice, rows_per_second: float, seconds: float) -> int:
    """Return how many rows of a slice are scored: all, if that takes no longer than it may.

    Args:
        part: the slice.
        rows_per_second: of one process, as a few rows were scored.
        seconds: that a unit may take.
    """
    return min(part.rows, max(int(rows_per_second * seconds), FEWEST_ROWS))
