"""The comparison of a night with earlier ones: the report, what it says in words, and the limits exceeded."""

import datetime as dt
from collections.abc import Callable, Iterable

from pipeline_lib.planning.plan import Plan
from pipeline_lib.planning.version import score_version
from pipeline_lib.publishing.earlier_nights import earlier_nights
from pipeline_lib.settings.sections.limits import LimitSettings
from pipeline_lib.statistics.drift.measures import FEW_NIGHTS, MIN_REFERENCE_ROWS, MIN_ROWS
from pipeline_lib.statistics.drift.references import DriftReport, Reference, choose_reference, drift_report
from pipeline_lib.statistics.drift.verdicts import DriftLimits, Measure, Verdict
from pipeline_lib.statistics.row_statistics import RowStatistics

MOST_MEASURES = 3

_SHARE = "share of "


def compare_nights(
    rows: RowStatistics | None, plan: Plan, output_path: str, date: dt.date | None, note: Callable[[str], None]
) -> DriftReport | None:
    """Compare a night with earlier ones, or return None if its output has no dates.

    Args:
        rows: what is counted of the night, if it is known.
        plan: the run's plan.
        output_path: as in the settings, with `{date}` in it if the output has dates.
        date: of the night.
        note: called with what the user should know of the earlier nights.
    """
    if date is None or "{date}" not in output_path:
        return None
    if rows is None:
        return DriftReport(Reference((), "an earlier release scored some of the rows and did not count them"), ())
    limits = plan.settings.limits
    nights = earlier_nights(output_path, date, limits.reference_date, note)
    reference = choose_reference(nights, date, score_version(plan.fingerprint), limits.reference_date)
    return drift_report(rows, reference, DriftLimits(limits.max_score_drift, limits.max_label_drift))


def exceeded_limits(report: DriftReport | None, limits: LimitSettings) -> dict[str, str]:
    """Return what is found of each limit that a night exceeds, by the name of the limit."""
    failed = report.with_verdict(Verdict.FAILED) if report else []
    labels = [measure for measure in failed if measure.of.startswith(_SHARE)]
    scores = [measure for measure in failed if not measure.of.startswith(_SHARE)]
    found: dict[str, str] = {}
    for name, measures in (("max_score_drift", scores), ("max_label_drift", labels)):
        if report and measures:
            most, allowed = getattr(limits, name), measures[0].fail_above
            twice = (
                ""
                if allowed == most
                else f", and twice that while it is compared with fewer than {FEW_NIGHTS} nights"
            )
            found[name] = f"{in_words(measures, report)}; limits.{name} is {most:g}{twice}"
    return found


def in_words(measures: Iterable[Measure], report: DriftReport) -> str:
    """Return the largest of some measures in words, with the nights that they compare with."""
    some = list(measures)
    told = "; ".join(_told(measure, report) for measure in some[:MOST_MEASURES])
    more = f"; and {len(some) - MOST_MEASURES} more" if len(some) > MOST_MEASURES else ""
    return f"{told}{more}"


def why_not_evaluated(report: DriftReport) -> str:
    """Return why a night was not compared."""
    measure = next(iter(report.measures), None)
    if not report.reference.nights or measure is None:
        return report.reference.reason
    return (
        f"{measure.rows:,} scored rows, and {measure.reference_rows:,} of {report.reference.reason}; "
        f"{MIN_ROWS:,} and {MIN_REFERENCE_ROWS:,} are needed"
    )


def _told(measure: Measure, report: DriftReport) -> str:
    is_pinned = any(measure is pinned for pinned in report.pinned_measures)
    pinned, reason = report.reference.pinned, report.reference.reason
    against = f"the pinned night {pinned.date}" if is_pinned and pinned else reason
    certain = measure.certain or 0.0
    if measure.night is None or measure.reference is None:
        return (
            f"the {measure.of} differ from {against} by {measure.drift:.2f} (population stability index), "
            f"{certain:.2f} for certain"
        )
    return (
        f"the {_name(measure.of)} is {measure.night:.1%}, in {against} it was {measure.reference:.1%}, "
        f"a change of {100 * certain:.1f} points for certain"
    )


def _name(of: str) -> str:
    return of if of.startswith(_SHARE) else f"share of rows {of}" if of != "duplicates" else "share of duplicates"
