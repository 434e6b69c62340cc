"""The plan: everything that is decided before work starts, as the steps read it."""

from dataclasses import dataclass, field, replace
from typing import Any

from pipeline_lib.checkpoints.checkpoint import Checkpoint
from pipeline_lib.engines.computation import Computation
from pipeline_lib.inputs.schema import OutputSchema
from pipeline_lib.inputs.shards import Shard, Slice
from pipeline_lib.planning.resume.score_reuse import Reusable
from pipeline_lib.settings.settings import Settings
from pipeline_lib.storage.records import Manifest, Receipt


@dataclass(frozen=True)
class ScoringPlan:
    """All that the steps must know to score a table: a run's plan has it, and `Scorer` makes one without a run."""

    settings: Settings
    checkpoint: Checkpoint
    computation: Computation


@dataclass(frozen=True)
class Plan(ScoringPlan):
    """What a run will do."""

    output_schema: OutputSchema
    fingerprint: dict[str, Any]
    version: str
    shards: tuple[Shard, ...]
    notices: tuple[str, ...]
    """What the user should know though it is no error."""
    may_replace: bool = False
    """Whether another version, or one of shards that are gone, may be replaced."""
    standing: tuple[Receipt, ...] = ()
    """Slices whose files already stand and verify."""
    published: Manifest | None = None
    """What readers see, if it is of this version."""
    replaced: str | None = None
    """The version that readers see, if it is another one."""
    reusable: Reusable = field(default_factory=dict)
    """Published slices of a version that differs in kept columns alone, whose scores are taken over."""
    broken: tuple[str, ...] = ()
    """Files that stood but don't verify: set aside and made again."""
    strangers: tuple[str, ...] = ()
    """Files among the published ones that this job did not write: set aside."""
    untidy: bool = False
    """Whether staged files of this version, or a lease, are left; maybe of a run that is at work."""

    @property
    def rows(self) -> int:
        """Rows in all shards."""
        return sum(shard.rows for shard in self.shards)

    @property
    def slices(self) -> int:
        """Number of all slices."""
        return sum(len(shard.starts) for shard in self.shards)

    @property
    def todo(self) -> list[Slice]:
        """Slices that are still to be scored, in the order of the input; made anew each time."""
        done = {(receipt.shard, receipt.first_row) for receipt in self.standing}
        parts = (part for shard in self.shards for part in shard.slices)
        return [part for part in parts if (part.shard, part.first_row) not in done]

    @property
    def complete(self) -> bool:
        """Whether all of this is published already."""
        if self.published is None or self.strangers or self.slices != len(self.published.slices):
            return False
        return not self.todo

    def for_workers(self) -> "Plan":
        """Return the plan without what only the driver needs, which is large where shards are many."""
        shards = tuple(replace(shard, marks=()) for shard in self.shards)
        return replace(self, shards=shards, standing=(), published=None)

    def shard(self, number: int) -> Shard:
        """Return the shard of this number."""
        return next(shard for shard in self.shards if shard.number == number)
