"""The statistics of a night: sums of those of its slices, or what the last manifest has of shards that stayed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import add
from typing import Any, Protocol, Self, TypeVar

from pipeline_lib.checkpoints.checkpoint import Checkpoint
from pipeline_lib.inputs.shards import Shard
from pipeline_lib.planning.plan import Plan
from pipeline_lib.planning.truth import truth_settings
from pipeline_lib.statistics.drift.references import DriftReport
from pipeline_lib.statistics.evaluation import Evaluation
from pipeline_lib.statistics.row_statistics import RowStatistics
from pipeline_lib.statistics.scored_rows import score_bins
from pipeline_lib.storage.records import Manifest, Receipt, ShardRecord


class _Adds(Protocol):
    def __add__(self, other: Self) -> Self: ...


_T = TypeVar("_T", bound=_Adds)


@dataclass(frozen=True)
class ShardStatistics:
    """What is counted of a shard; None where an earlier release scored some of it, which did not count."""

    rows: RowStatistics | None = None
    truth: Evaluation | None = None
    """None also where the settings name no truth."""


@dataclass(frozen=True)
class NightStatistics:
    """What is counted of a night."""

    shards: Mapping[int, ShardStatistics] = field(default_factory=dict)
    """By number."""
    rows: RowStatistics | None = None
    """The sums over all shards; None where one of them is not known."""
    truth: Evaluation | None = None
    drift: DriftReport | None = None
    """How it differs from earlier nights; None if its output has no dates."""


def night_statistics(plan: Plan, receipts: Sequence[Receipt]) -> NightStatistics:
    """Return what is counted of a night.

    The receipts of a manifest have no statistics, since the manifest has their sums: a shard of which one slice
    is taken from there has the sum of the manifest. That is the same, since its scores are.

    Args:
        plan: the run's plan.
        receipts: of every slice of the plan, in any order.
    """
    by_shard: dict[int, list[Receipt]] = {shard.number: [] for shard in plan.shards}
    for receipt in receipts:
        by_shard[receipt.shard].append(receipt)
    known = {(record.path, record.size, record.content): record for record in _known(plan)}
    nothing = RowStatistics(score_bins(plan.checkpoint.activation)), Evaluation()
    own_truth, shards = _truth_settings(plan), {}
    for shard in plan.shards:
        earlier = _taken_over(known.get((shard.path, shard.stamp.size, shard.content)), shard, plan)
        some = by_shard[shard.number]
        rows = _sum(nothing[0], (_rows(receipt.statistics) for receipt in some)) or earlier.rows
        truth = (
            _sum(
                nothing[1],
                (_truth(receipt.truth) if receipt.truth_settings == own_truth else None for receipt in some),
            )
            or earlier.truth
        )
        shards[shard.number] = ShardStatistics(rows, truth if plan.settings.input.truth_column else None)
    return _together(shards, plan.checkpoint)


def published_statistics(plan: Plan, manifest: Manifest) -> NightStatistics:
    """Return what a manifest says was counted of its night."""
    shards = {
        record.number: ShardStatistics(_rows(record.statistics), _truth(record.truth)) for record in manifest.shards
    }
    return _together(shards, plan.checkpoint)


def _together(shards: Mapping[int, ShardStatistics], checkpoint: Checkpoint) -> NightStatistics:
    rows = _sum(RowStatistics(score_bins(checkpoint.activation)), (shard.rows for shard in shards.values()))
    has_truth = any(shard.truth for shard in shards.values())
    truth = _sum(Evaluation(), (shard.truth for shard in shards.values())) if has_truth else None
    return NightStatistics(shards, rows, truth)


def _sum(nothing: _T, parts: Iterable[_T | None]) -> _T | None:
    """Return the sum of all parts, or None if one is not known."""
    known = list(parts)
    return None if any(part is None for part in known) else reduce(add, filter(None, known), nothing)


def _known(plan: Plan) -> Sequence[ShardRecord]:
    return plan.counted.shards if plan.counted else ()


def _taken_over(record: ShardRecord | None, shard: Shard, plan: Plan) -> ShardStatistics:
    """Return what an earlier manifest says of a shard that is still the same."""
    if record is None or plan.counted is None or record.rows != shard.rows:
        return ShardStatistics()
    rows = _rows(record.statistics)
    if rows and plan.settings.output.scores == "top":  # the published version may have had all scores
        rows = replace(rows, all_scores={})
    return ShardStatistics(rows, _truth(record.truth) if has_same_truth(plan, plan.counted) else None)


def has_same_truth(plan: Plan, manifest: Manifest) -> bool:
    """Tell whether a manifest was made with the truth that the settings name now."""
    return truth_settings(manifest.settings) == _truth_settings(plan)


def _truth_settings(plan: Plan) -> str:
    return truth_settings(plan.settings.model_dump(mode="json", include={"input"}))


def _rows(value: Any) -> RowStatistics | None:
    """Return the statistics of a record; others may have written to it."""
    try:
        return None if value is None else RowStatistics.from_json(value)
    except ValueError:
        return None


def _truth(value: Any) -> Evaluation | None:
    try:
        return None if value is None else Evaluation.from_json(value)
    except ValueError:
        return None
