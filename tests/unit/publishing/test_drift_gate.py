"""The gate of drift: which limits a night exceeds, and what is said of it."""

import datetime as dt

import pytest

from pipeline_lib.publishing.drift_gate import exceeded_limits, in_words, why_not_evaluated
from pipeline_lib.settings.sections.limits import LimitSettings
from pipeline_lib.statistics.drift.references import DriftReport, NightRecord, choose_reference, drift_report
from pipeline_lib.statistics.drift.verdicts import DriftLimits, Verdict
from pipeline_lib.statistics.row_statistics import RowStatistics
from tests.unit.statistics.made_rows import night

DATE = dt.date(2026, 11, 22)
STRICT = LimitSettings(max_score_drift=0.2, max_label_drift=0.05)


def compared(
    rows: RowStatistics, limits: LimitSettings = STRICT, nights: int = 7, pinned: dt.date | None = None
) -> DriftReport:
    earlier = [
        NightRecord(DATE - dt.timedelta(days=days), accepted=True, score_version="v", statistics=night(2000, days))
        for days in range(1, nights + 1)
    ]
    reference = choose_reference(earlier, DATE, "v", pinned)
    return drift_report(rows, reference, DriftLimits(limits.max_score_drift, limits.max_label_drift))


def test_a_night_like_the_others_exceeds_nothing() -> None:
    assert exceeded_limits(compared(night(2000, 99)), STRICT) == {}
    assert exceeded_limits(None, STRICT) == {}


def test_a_night_that_is_off_exceeds_both_limits_and_the_words_say_by_how_much() -> None:
    report = compared(night(2000, 99, shift=-4.0))
    found = exceeded_limits(report, STRICT)
    assert set(found) == {"max_score_drift", "max_label_drift"}
    assert "of POSITIVE differ from the last 7 accepted nights by " in found["max_score_drift"]
    assert found["max_score_drift"].endswith("; limits.max_score_drift is 0.2")
    assert "the share of " in found["max_label_drift"]
    assert "%, in the last 7 accepted nights it was " in found["max_label_drift"]


def test_with_few_nights_twice_the_drift_is_allowed_and_the_words_say_so() -> None:
    found = exceeded_limits(compared(night(2000, 99, shift=-4.0), nights=1), STRICT)
    assert "the only accepted night before" in found["max_label_drift"]
    assert found["max_label_drift"].endswith("and twice that while it is compared with fewer than 3 nights")


def test_without_limits_a_night_is_warned_of_and_never_held() -> None:
    limits = LimitSettings()
    report = compared(night(2000, 99, shift=-4.0), limits)
    assert report.verdict is Verdict.WARNED
    assert exceeded_limits(report, limits) == {}
    words = in_words(report.with_verdict(Verdict.WARNED), report)
    assert words.count(";") <= 3
    assert "more" in words


def test_a_pinned_night_is_named() -> None:
    report = compared(night(2000, 99, shift=-4.0), pinned=DATE - dt.timedelta(days=3))
    words = in_words(report.with_verdict(Verdict.FAILED), report) + in_words(
        [each for each in report.pinned_measures if each.verdict is Verdict.FAILED], report
    )
    assert "the pinned night 2026-11-19" in words


@pytest.mark.parametrize(
    ("rows", "nights", "why"),
    [
        (2000, 0, "the first night"),
        (200, 7, "200 scored rows, and 14,000 of the last 7 accepted nights; 300 and 1,000 are needed"),
    ],
)
def test_a_night_that_is_not_compared_says_why(rows: int, nights: int, why: str) -> None:
    report = compared(night(rows, 99), nights=nights)
    assert report.verdict is Verdict.NOT_EVALUATED
    assert why_not_evaluated(report) == why
