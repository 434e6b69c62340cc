"""Runs: consecutive slices of a shard that one process reads, so that each byte is read and decoded about once."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator

from pipeline_lib.inputs.shards import Shard, Slice

# Enough that a task of the cluster is worth its milliseconds, and few enough that processes share a large shard.
SLICES_PER_RUN = 32


def runs_of(shard: Shard, parts: Iterable[Slice]) -> Iterator[list[Slice]]:
    """Yield the slices in runs that end where a unit does, such as a row group; a unit is never divided.

    Args:
        shard: with the first rows of its units.
        parts: slices of it, in order.
    """
    run: list[Slice] = []
    for part in parts:
        if len(run) >= SLICES_PER_RUN and _unit_of(shard, part) != _unit_of(shard, run[-1]):
            yield run
            run = []
        run.append(part)
    if run:
        yield run


def _unit_of(shard: Shard, part: Slice) -> int:
    """Return a number of the unit in which a slice begins; without units, each slice is one."""
    return bisect_right(shard.unit_starts, part.first_row) if shard.unit_starts else part.first_row
