"""With which nights a night is compared, and the verdict of the comparison."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline_lib.statistics.drift.measures import measured_drift
from pipeline_lib.statistics.drift.verdicts import DriftLimits, Measure, Verdict, worst
from pipeline_lib.statistics.row_statistics import RowStatistics

SAME_WEEKDAY = 4
LAST = 7


@dataclass(frozen=True)
class NightRecord:
    """A night of an output, as its records tell."""

    date: dt.date
    accepted: bool
    """Whether it is published, with or without `run --accept`; a held or failed night is not."""
    score_version: str
    """Names all that decides a score: scores of different names are never compared."""
    statistics: RowStatistics


@dataclass(frozen=True)
class Reference:
    """Nights to compare with, and why these."""

    nights: tuple[NightRecord, ...]
    reason: str
    recent: tuple[NightRecord, ...] = ()
    """The last nights of any weekday, which tell how much nights differ; over more weeks a slow change would seem
    usual."""
    pinned: NightRecord | None = None
    pinned_reason: str = ""
    """Why there is no pinned night although the settings name one."""


def choose_reference(
    nights: Sequence[NightRecord], date: dt.date, score_version: str, pinned: dt.date | None = None
) -> Reference:
    """Return the nights to compare a night with: earlier, accepted, and of the same model and settings.

    These are the last four of the same weekday, since weekdays differ; before there are four of them, the last
    seven of any weekday. A pinned night is compared too: against slow changes, which a reference that moves along
    never shows.

    Args:
        nights: all that have statistics, in any order, one a date.
        date: of the night to compare.
        score_version: of the night to compare.
        pinned: date of the night that the settings pin.
    """
    earlier = sorted(
        (night for night in nights if night.accepted and night.date < date), key=lambda night: night.date
    )
    same = [night for night in earlier if night.score_version == score_version]
    weekday = [night for night in same if night.date.weekday() == date.weekday()][-SAME_WEEKDAY:]
    if len(weekday) == SAME_WEEKDAY:
        chosen, reason = weekday, f"the last {SAME_WEEKDAY} accepted nights of the same weekday"
    elif same:
        chosen = same[-LAST:]
        reason = f"the last {len(chosen)} accepted nights" if len(chosen) > 1 else "the only accepted night before"
    else:
        chosen = []
        reason = "the first night of this model and these settings" if earlier else "the first night"
    recent = tuple(same[-LAST:])
    if pinned is None or pinned == date:
        return Reference(tuple(chosen), reason, recent)
    night, why_not = _pinned(nights, pinned, score_version)
    return Reference(tuple(chosen), reason, recent, night, why_not)


def _pinned(nights: Sequence[NightRecord], date: dt.date, score_version: str) -> tuple[NightRecord | None, str]:
    night = next((night for night in nights if night.date == date), None)
    if night is None:
        return None, f"the pinned night {date} has no statistics"
    if not night.accepted:
        return None, f"the pinned night {date} is not published"
    if night.score_version != score_version:
        return None, f"the pinned night {date} is of another model or other settings"
    return night, ""


@dataclass(frozen=True)
class DriftReport:
    """The verdict on a night, and all that it rests on."""

    reference: Reference
    measures: tuple[Measure, ...]
    """Against the reference nights."""
    pinned_measures: tuple[Measure, ...] = ()
    """Against the pinned night."""

    @property
    def verdict(self) -> Verdict:
        """The worst of all measures."""
        return worst([*self.measures, *self.pinned_measures])

    def with_verdict(self, verdict: Verdict) -> list[Measure]:
        """Return the measures with a verdict, the largest drift first."""
        all_measures = [*self.measures, *self.pinned_measures]
        return sorted(
            (measure for measure in all_measures if measure.verdict is verdict),
            key=lambda measure: -(measure.certain or 0.0) / (measure.warn_above or 1.0),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values, for `_metrics.json`."""
        reference = self.reference
        return {
            "verdict": self.verdict,
            "reference": {
                "nights": [night.date.isoformat() for night in reference.nights],
                "reason": reference.reason,
                "pinned": reference.pinned.date.isoformat() if reference.pinned else None,
                "pinned_reason": reference.pinned_reason,
            },
            "measures": [measure.to_json() for measure in self.measures],
            "pinned_measures": [measure.to_json() for measure in self.pinned_measures],
        }


def drift_report(night: RowStatistics, reference: Reference, limits: DriftLimits) -> DriftReport:
    """Compare a night with its reference nights, and with the pinned night if there is one."""
    nights, recent = ([record.statistics for record in records] for records in (reference.nights, reference.recent))
    pinned = reference.pinned
    return DriftReport(
        reference=reference,
        measures=tuple(measured_drift(night, nights, limits)),
        pinned_measures=tuple(measured_drift(night, [pinned.statistics], limits, recent)) if pinned else (),
    )
