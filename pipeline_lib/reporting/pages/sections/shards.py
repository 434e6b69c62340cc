"""The table of shards: those first that a person should look at first."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipeline_lib.statistics.row_statistics import RowStatistics
from pipeline_lib.storage.records import ShardRecord

MOST_SHARDS = 50


@dataclass(frozen=True)
class ShardRow:
    """A line of the table of shards."""

    path: str
    rows: int
    scored: int
    rejected: int
    counted: RowStatistics | None
    """None where it is not known."""

    @property
    def reject_rate(self) -> float | None:
        """Share of the shard's rows; None without rows."""
        return self.rejected / self.rows if self.rows else None


@dataclass(frozen=True)
class ShardTable:
    """The shards of a night."""

    folder: str
    """That all of them are in, with a slash at its end; empty if there is none."""
    rows: list[ShardRow]
    """The first of them."""
    total: int


def shard_table(shards: Sequence[ShardRecord]) -> ShardTable:
    """Return the shards, those with the largest share of rejected rows first, at most `MOST_SHARDS` of them."""
    ordered = sorted(shards, key=lambda shard: (-shard.rejected / max(shard.rows, 1), shard.path))
    rows = [
        ShardRow(shard.path, shard.rows, shard.scored, shard.rejected, _counted(shard))
        for shard in ordered[:MOST_SHARDS]
    ]
    return ShardTable(_common_folder(shard.path for shard in shards), rows, len(shards))


def _counted(shard: ShardRecord) -> RowStatistics | None:
    try:
        return RowStatistics.from_json(shard.statistics) if shard.statistics else None
    except ValueError:  # of another release
        return None


def _common_folder(paths: Iterable[str]) -> str:
    """Return the folder that all paths are in, which need not be said in every line."""
    folders = [path.split("/")[:-1] for path in paths]
    shared = list[str]()
    for parts in zip(*folders, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return "/".join(shared) + "/" if any(shared) else ""
