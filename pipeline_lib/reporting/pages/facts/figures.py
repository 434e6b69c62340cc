"""The figures of a night, as `_metrics.json` or the record of a run tells them; other releases tell others."""

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from pipeline_lib.estimating.kept import against
from pipeline_lib.statistics.drift.verdicts import Measure, Verdict
from pipeline_lib.statistics.evaluation import Evaluation
from pipeline_lib.statistics.row_statistics import RowStatistics
from pipeline_lib.storage.records import Accepted

_T = TypeVar("_T")
_MEASURES = TypeAdapter(tuple[Measure, ...])


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class ReferenceNights(_Record):
    """With which nights a night was compared."""

    nights: tuple[str, ...] = ()
    """Dates."""
    reason: str = ""
    pinned: str | None = None
    pinned_reason: str = ""


class DriftFigures(_Record):
    """What `DriftReport.to_json` wrote."""

    verdict: Verdict
    reference: ReferenceNights = ReferenceNights()
    measures: tuple[Any, ...] = ()
    pinned_measures: tuple[Any, ...] = ()

    @cached_property
    def worst_first(self) -> list[Measure]:
        """All measures, those with the worst verdict first, and of one verdict the largest for its limit."""
        pinned = (replace(each, of=f"{each.of}, against the pinned night") for each in _read(self.pinned_measures))
        measures = [*_read(self.measures), *pinned]
        return sorted(
            measures, key=lambda each: (-each.verdict.severity, -(each.certain or 0) / (each.warn_above or 1))
        )


class NightFigures(_Record):
    """What a run tells about its night; None, 0 or empty where it does not."""

    status: str = ""
    version: str = ""
    date: str | None = None
    rows: int = 0
    scored: int = 0
    rejected: int = 0
    rows_this_run: int = 0
    seconds: float = 0.0
    scoring_seconds: float = 0.0
    busy: dict[str, float] = {}
    peak_bytes: dict[str, list[int]] = {}
    rows_by_node: dict[str, int] = {}
    reject_codes: dict[str, int] | None = None
    exit_code: int | None = None
    error: str | None = None
    gate: str | None = None
    accepted_gates: list[str] = []
    accepted: Accepted | None = None
    attempt: int | None = None
    started_at: str | None = None
    finished_at: str | None = None
    libraries: dict[str, str] = {}
    model: dict[str, Any] = {}
    """As in the manifest."""
    score_version: str | None = None
    mean_score: float | None = None
    tokens: int | None = None
    """Of all scored rows."""
    statistics: Any = None
    drift: Any = None
    truth: Any = None
    estimate: Any = None
    """That was made before the run."""

    @cached_property
    def counted(self) -> RowStatistics | None:
        """The statistics of the rows, or None where there are none that this release can read."""
        return _or_none(RowStatistics.from_json, self.statistics)

    @cached_property
    def compared(self) -> DriftFigures | None:
        """The comparison with earlier nights, likewise."""
        found = _or_none(DriftFigures.model_validate, self.drift)
        return found if found and _or_none(lambda drift: (drift.worst_first,), found) else None

    @cached_property
    def evaluated(self) -> Evaluation | None:
        """The comparison with the truth, likewise."""
        return _or_none(Evaluation.from_json, self.truth)

    @property
    def against_estimate(self) -> str:
        """The estimate beside what came of it, in words; empty where there is none of the same rows."""
        estimate = self.estimate if isinstance(self.estimate, dict) else {}
        return against(estimate, self.rows_this_run, self.seconds, self.scoring_seconds)

    @property
    def reject_rate(self) -> float | None:
        """Share of the rows that have no score; None without rows."""
        known = self.scored + self.rejected
        return self.rejected / known if known else None


def _read(measures: Any) -> tuple[Measure, ...]:
    return _MEASURES.validate_python(measures)


def _or_none(read: Callable[[Any], _T], value: Any) -> _T | None:
    try:
        return None if value is None else read(value)
    except ValueError:  # also pydantic's
        return None


def parse_figures(content: bytes | None) -> NightFigures | None:
    """Return the figures in a file, or None if it is missing or something else."""
    try:
        return None if content is None else NightFigures.model_validate_json(content)
    except ValidationError:
        return None
