"""The plan: everything that is decided before work starts, as the steps read it."""

from dataclasses import dataclass, field

from pipeline_lib.checkpoint import Checkpoint
from pipeline_lib.config import Settings
from pipeline_lib.layout import Layout
from pipeline_lib.manifest import Manifest, Receipt
from pipeline_lib.shards import Shard, Slice


@dataclass(frozen=True)
class Plan:
    """What a run will do."""

    settings: Settings
    checkpoint: Checkpoint
    layout: Layout
    fingerprint: dict[str, object]
    version: str
    shards: tuple[Shard, ...]
    standing: tuple[Receipt, ...]
    """Slices whose files already stand and verify."""
    published: Manifest | None
    notices: tuple[str, ...] = ()
    """What the user should know though it is no error."""
    broken: tuple[str, ...] = field(default=())
    """Files that stood but don't verify, and are made again."""

    @property
    def rows(self) -> int:
        """Rows in all shards."""
        return sum(shard.rows for shard in self.shards)

    @property
    def slices(self) -> list[Slice]:
        """All slices, in the order of the input."""
        return [part for shard in self.shards for part in shard.slices]

    @property
    def todo(self) -> list[Slice]:
        """Slices that are still to be scored."""
        done = {(receipt.shard, receipt.first_row) for receipt in self.standing}
        return [part for part in self.slices if (part.shard, part.first_row) not in done]

    @property
    def complete(self) -> bool:
        """Whether all of this is published already."""
        return self.published is not None and not self.todo and len(self.slices) == len(self.published.slices)

    def shard(self, number: int) -> Shard:
        """Return the shard of this number."""
        return next(shard for shard in self.shards if shard.number == number)
