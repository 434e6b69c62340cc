"""A night is compared with the right nights: earlier, accepted, of the same model and settings."""

import datetime as dt
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.statistics.bins import PROBABILITIES
from pipeline_lib.statistics.drift.references import NightRecord, choose_reference, drift_report
from pipeline_lib.statistics.drift.verdicts import DriftLimits, Verdict
from pipeline_lib.statistics.row_statistics import RowStatistics
from tests.unit.statistics.made_rows import night

MONDAY = dt.date(2026, 11, 2)
NOTHING = RowStatistics(PROBABILITIES)


def record(day: int, *, accepted: bool = True, version: str = "one") -> NightRecord:
    """Return the record of a night so many days after the first Monday."""
    return NightRecord(MONDAY + dt.timedelta(day), accepted, version, NOTHING)


def days(nights: tuple[NightRecord, ...]) -> list[int]:
    """Return how many days after the first Monday nights are."""
    return [(night.date - MONDAY).days for night in nights]


def chosen(nights: list[NightRecord], day: int, version: str = "one") -> list[int]:
    """Return the days of the reference of a night."""
    return days(choose_reference(nights, MONDAY + dt.timedelta(day), version).nights)


def test_the_last_four_nights_of_the_same_weekday_are_the_reference() -> None:
    month = [record(day) for day in range(60)]
    assert chosen(month, 42) == [14, 21, 28, 35]
    assert chosen(month[::-1], 43) == [15, 22, 29, 36]


def test_before_there_are_four_of_them_the_last_seven_nights_are() -> None:
    month = [record(day) for day in range(60)]
    assert chosen(month, 27) == [20, 21, 22, 23, 24, 25, 26]
    assert chosen(month, 2) == [0, 1]
    assert chosen(month, 0) == []


def test_a_held_night_is_never_a_reference_and_an_accepted_one_is() -> None:
    nights = [record(day, accepted=day not in {21, 35}) for day in range(50)]
    assert chosen(nights, 42) == [0, 7, 14, 28]


@pytest.mark.parametrize(("day", "reference"), [(30, []), (31, [30]), (33, [30, 31, 32])])
def test_another_model_starts_anew(day: int, reference: list[int]) -> None:
    nights = [record(at, version="one" if at < 30 else "two") for at in range(60)]
    assert chosen(nights, day, "two") == reference
    reason = choose_reference(nights, MONDAY + dt.timedelta(30), "two").reason
    assert reason == "the first night of this model and these settings"


@given(
    nights=st.lists(
        st.builds(record, st.integers(0, 60), accepted=st.booleans(), version=st.sampled_from(["one", "two"])),
        unique_by=lambda night: night.date,
    ),
    day=st.integers(0, 60),
)
def test_no_reference_is_later_held_or_of_another_version(nights: list[NightRecord], day: int) -> None:
    found = choose_reference(nights, MONDAY + dt.timedelta(day), "one")
    assert all(night.accepted and night.score_version == "one" for night in found.nights)
    assert days(found.nights) == sorted(of for of in days(found.nights) if of < day)
    usable = [at for at in nights if at.accepted and at.score_version == "one" and days((at,))[0] < day]
    assert bool(found.nights) == bool(usable)


@pytest.mark.parametrize(
    ("pinned", "reason"),
    [
        (3, ""),
        (90, "the pinned night 2027-01-31 has no statistics"),
        (4, "the pinned night 2026-11-06 is not published"),
        (5, "the pinned night 2026-11-07 is of another model or other settings"),
    ],
)
def test_a_pinned_night_is_compared_too_if_it_can_be(pinned: int, reason: str) -> None:
    nights = [record(day, accepted=day != 4, version="two" if day == 5 else "one") for day in range(20)]
    found = choose_reference(nights, MONDAY + dt.timedelta(20), "one", MONDAY + dt.timedelta(pinned))
    assert found.pinned_reason == reason
    assert found.pinned is (None if reason else nights[3])


def test_a_slow_change_shows_against_the_pinned_night_alone() -> None:
    nights = [
        NightRecord(
            MONDAY + dt.timedelta(day),
            accepted=True,
            score_version="one",
            statistics=night(3000, day, shift=-day / 15),
        )
        for day in range(31)
    ]
    last = nights.pop()
    moving = drift_report(last.statistics, choose_reference(nights, last.date, "one"), DriftLimits())
    assert moving.verdict is not Verdict.FAILED
    pinned = choose_reference(nights, last.date, "one", pinned=MONDAY)
    report = drift_report(last.statistics, pinned, DriftLimits())
    assert report.verdict is Verdict.FAILED
    assert report.with_verdict(Verdict.FAILED)[0] in report.pinned_measures


def test_a_report_is_json_with_the_nights_and_why_these() -> None:
    first = NightRecord(MONDAY, accepted=True, score_version="one", statistics=night(1000, 1))
    report = drift_report(night(400, 2), choose_reference([first], MONDAY + dt.timedelta(1), "one"), DriftLimits())
    written = json.loads(json.dumps(report.to_json()))
    assert written["verdict"] == "passed"
    assert written["reference"]["nights"] == ["2026-11-02"]
    assert written["reference"]["reason"] == "the only accepted night before"
    assert written["measures"][0]["of"] == "scores"
    empty = drift_report(night(400, 2), choose_reference([], MONDAY, "one"), DriftLimits())
    assert empty.verdict is Verdict.NOT_EVALUATED
