"""The plan: everything that is decided before work starts, as the steps read it."""

from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from pipeline_lib.checkpoints.checkpoint import Checkpoint
from pipeline_lib.engines.computation import Computation
from pipeline_lib.inputs import columns
from pipeline_lib.inputs.schema import OutputSchema
from pipeline_lib.inputs.shards import Shard, Slice
from pipeline_lib.planning.resume.score_reuse import Reusable
from pipeline_lib.settings.settings import Settings
from pipeline_lib.storage.records import JoinedFile, Manifest, Receipt


@dataclass(frozen=True)
class ScoringPlan:
    """All that the steps must know to score a table: a run's plan has it, and `Scorer` makes one without a run."""

    settings: Settings
    checkpoint: Checkpoint
    computation: Computation

    @property
    def score_fields(self) -> list[pa.Field]:
        """The columns that the steps add, in the order of the output."""
        return columns.score_fields(self.settings, self.checkpoint.embedding_width)

    @property
    def tokenizing(self) -> tuple[object, ...]:
        """What the ids of texts depend on: equal for plans whose texts are tokenized once for all of them."""
        checkpoint, output = self.checkpoint, self.settings.output
        takes_type_ids = "token_type_ids" in checkpoint.inputs
        of_model = checkpoint.max_tokens, checkpoint.windows, checkpoint.vocabulary, takes_type_ids
        return checkpoint.tokenizer, *of_model, output.rejected_texts

    @property
    def compares_with_float32(self) -> bool:
        """Whether a sample of rows is scored in float32 too; only a run has a manifest that records the result."""
        return False


@dataclass(frozen=True)
class Plan(ScoringPlan):
    """What a run will do."""

    output_schema: OutputSchema
    fingerprint: dict[str, Any]
    version: str
    truth_columns: tuple[str, ...] = ()
    """Columns with true labels that are read: its own, and those of the plans that share what is read."""
    shards: tuple[Shard, ...] = ()
    notices: tuple[str, ...] = ()
    """For the user; none of them is an error."""
    may_replace: bool = False
    """Whether another version, or one of shards that are gone, may be replaced."""
    finished: tuple[Receipt, ...] = ()
    """Receipts of slices that need no work, since their files exist and verify."""
    joined: tuple[JoinedFile, ...] = ()
    """Whole files that slices were joined into, staged or published: the slices in them need no work either."""
    has_staged: bool = False
    """Whether files of some finished slices are staged alone, so that readers do not see them."""
    own_files: frozenset[tuple[int, int]] = frozenset()
    """(Number of the shard, first row) of slices that are published in files of their own."""
    published: Manifest | None = None
    """The manifest of what readers see, if it is of this version."""
    counted: Manifest | None = None
    """The newest manifest of the same scores, which has the statistics of slices that are not scored again."""
    replaced: str | None = None
    """The version that readers see, if it is another one."""
    reusable: Reusable = field(default_factory=dict)
    """Published slices of a version that differs only in kept columns; their scores are taken over."""
    damaged_files: tuple[str, ...] = ()
    """Paths below the output of files of earlier work that don't verify: set aside and made again."""
    foreign_files: tuple[str, ...] = ()
    """Files among the published ones that this job did not write: set aside."""
    needs_cleanup: bool = False
    """Whether staged files of this version, or a lease, exist; another run may be using them."""

    @property
    def compares_with_float32(self) -> bool:
        """See `ScoringPlan`."""
        return True

    @property
    def scoring(self) -> ScoringPlan:
        """What tokenizer and model are made from: equal for nights that differ in their files alone."""
        settings = self.settings
        without_paths = {
            "input": settings.input.model_copy(update={"path": ""}),
            "output": settings.output.model_copy(update={"path": ""}),
        }
        return ScoringPlan(settings.model_copy(update=without_paths), self.checkpoint, self.computation)

    @property
    def reading(self) -> tuple[object, ...]:
        """What a slice as it is read depends on: equal for plans whose slices are read once for all of them."""
        without_truth = self.settings.input.model_copy(update={"truth_column": None, "truth_labels": {}})
        return without_truth, self.settings.tuning.rows_per_slice, self.output_schema

    @property
    def scored_schema(self) -> pa.Schema:
        """The schema of the parts."""
        return self.output_schema.scored_schema(self.settings, self.checkpoint.embedding_width)

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
        """Slices that are left to score, in the order of the input; computed at each call."""
        finished = {(receipt.shard, receipt.first_row) for receipt in self.finished}
        parts = (part for shard in self.shards for part in shard.slices)
        return [part for part in parts if (part.shard, part.first_row) not in finished]

    @property
    def complete(self) -> bool:
        """Whether the whole input is published already."""
        if self.published is None or self.foreign_files or self.has_staged or self.todo:
            return False
        # Scores of a changed shard may be staged where those of the former one are published.
        published = {(each.shard, each.first_row, each.path, each.content) for each in self.published.slices}
        finished = {(each.shard, each.first_row, each.path, each.content) for each in self.finished}
        return finished == published

    def for_workers(self) -> "Plan":
        """Return the plan without what only the driver needs, which is large where shards are many."""
        shards = tuple(replace(shard, slice_offsets=(), unit_starts=()) for shard in self.shards)
        return replace(
            self, shards=shards, finished=(), joined=(), own_files=frozenset(), published=None, counted=None
        )

    def shard(self, number: int) -> Shard:
        """Return the shard of this number."""
        return next(shard for shard in self.shards if shard.number == number)
