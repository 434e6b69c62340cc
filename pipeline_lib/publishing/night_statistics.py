"""The statistics of a night: sums of those of its slices, or what the last manifest has of shards that stayed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, Self, TypeVar

from pipeline_lib.inputs.shards import Shard
from pipeline_lib.planning.plan import Plan
from pipeline_lib.planning.truth import truth_settings
from pipeline_lib.scoring.precision_drift import merge_drifts
from pipeline_lib.statistics.drift.references import DriftReport
from pipeline_lib.statistics.evaluation import Evaluation
from pipeline_lib.statistics.row_statistics import RowStatistics
from pipeline_lib.statistics.scored_rows import score_bins
from pipeline_lib.storage.records import Drift, Manifest, Receipt


class _Adds(Protocol):
    def __add__(self, other: Self) -> Self: ...


_T = TypeVar("_T", bound=_Adds)


@dataclass(frozen=True)
class ShardStatistics:
    """What is counted of a shard, as JSON values; None where an earlier release scored some of it uncounted.

    There may be very many shards, and most have one slice: they share the values of its receipt.
    """

    rows: dict[str, Any] | None = None
    truth: dict[str, Any] | None = None
    """None also where the settings name no truth."""


@dataclass(frozen=True)
class NightStatistics:
    """What is counted of a night."""

    shards: Mapping[int, ShardStatistics] = field(default_factory=dict)
    """By number."""
    rows: RowStatistics | None = None
    """The sum over all shards; None where one of them is not known."""
    truth: Evaluation | None = None
    """Likewise; None also where the settings name no truth."""
    drift: DriftReport | None = None
    """How it differs from earlier nights; None if its output has no dates."""
    precision: Drift | None = None
    """How far its scores are from those in float32, on a sample; None where that is not known."""


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
    counting, shards = _Counting(plan), dict[int, ShardStatistics]()
    for shard in plan.shards:
        shards[shard.number] = counting.add(shard, by_shard[shard.number])
    precision = merge_drifts(receipt.drift for receipt in receipts)
    return NightStatistics(shards, counting.rows, counting.truth, precision=precision)


def published_statistics(plan: Plan, manifest: Manifest) -> NightStatistics:
    """Return what a manifest says was counted of its night."""
    rows = _sum(_no_rows(plan), (_rows(shard.statistics) for shard in manifest.shards))
    truth = _sum(Evaluation(), (_truth(shard.truth) for shard in manifest.shards))
    truth = truth if plan.settings.input.truth_column else None
    return NightStatistics(rows=rows, truth=truth, precision=manifest.drift)


def has_same_truth(plan: Plan, manifest: Manifest) -> bool:
    """Tell whether a manifest was made with the truth that the settings name now."""
    return truth_settings(manifest.settings) == _truth_settings(plan)


class _Counting:
    """Adds up the shards of a night."""

    def __init__(self, plan: Plan) -> None:
        self._nothing = _no_rows(plan)
        self._truth_settings, self._has_truth = _truth_settings(plan), bool(plan.settings.input.truth_column)
        self._has_all_scores = plan.settings.output.scores == "all"
        counted = plan.counted
        self._earlier = {(each.path, each.size, each.content): each for each in counted.shards} if counted else {}
        self._same_truth = counted is not None and has_same_truth(plan, counted)
        self.rows: RowStatistics | None = self._nothing
        self.truth: Evaluation | None = Evaluation() if self._has_truth else None

    def add(self, shard: Shard, receipts: Sequence[Receipt]) -> ShardStatistics:
        """Add a shard by the receipts of all its slices, and return what is counted of it."""
        earlier = self._of_earlier(shard)
        counted = _sum(self._nothing, (_rows(each.statistics) for each in receipts))
        rows = counted or earlier[0]
        # Truths that were read by other settings are not added.
        own = (each.truth if each.truth_settings == self._truth_settings else None for each in receipts)
        truth = (_sum(Evaluation(), map(_truth, own)) or earlier[1]) if self._has_truth else None
        self.rows = self.rows + rows if self.rows and rows else None
        self.truth = self.truth + truth if self.truth and truth else None
        shared = receipts[0].statistics if counted and len(receipts) == 1 else None
        told = shared or (rows.to_json() if rows else None)
        return ShardStatistics(told, truth.to_json() if truth else None)

    def _of_earlier(self, shard: Shard) -> tuple[RowStatistics | None, Evaluation | None]:
        """Return what the last manifest of the same scores says of a shard that is still the same."""
        record = self._earlier.get((shard.path, shard.stamp.size, shard.content))
        if record is None or record.rows != shard.rows:
            return None, None
        rows = _rows(record.statistics)
        if rows and not self._has_all_scores:  # the published version may have had them
            rows = replace(rows, all_scores={})
        return rows, _truth(record.truth) if self._same_truth else None


def _no_rows(plan: Plan) -> RowStatistics:
    return RowStatistics(score_bins(plan.checkpoint.activation))


def _truth_settings(plan: Plan) -> str:
    return truth_settings(plan.settings.model_dump(mode="json", include={"input"}))


def _sum(nothing: _T, parts: Iterable[_T | None]) -> _T | None:
    """Return the sum of all parts, or None if one is not known."""
    total = nothing
    for part in parts:
        if part is None:
            return None
        total += part
    return total


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
