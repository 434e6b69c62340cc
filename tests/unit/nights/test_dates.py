"""Which dates a command on nights means."""

import datetime as dt

import pytest

from pipeline_lib.errors import SettingsError
from pipeline_lib.nights.dates import DateRange, dates_of

NOW = dt.datetime(2026, 11, 22, 23, 30, tzinfo=dt.UTC)


def test_the_last_nights_end_with_yesterday_in_the_time_zone_that_is_named() -> None:
    assert dates_of(DateRange(2), NOW) == [dt.date(2026, 11, 20), dt.date(2026, 11, 21)]
    assert dates_of(DateRange(2, timezone="Asia/Tokyo"), NOW) == [dt.date(2026, 11, 21), dt.date(2026, 11, 22)]
    assert dates_of(DateRange(1, timezone="America/Los_Angeles"), NOW) == [dt.date(2026, 11, 21)]


def test_both_ends_of_a_range_are_inclusive() -> None:
    dates = dates_of(DateRange(first="2024-02-28", to="2024-03-01"), NOW)
    assert [date.isoformat() for date in dates] == ["2024-02-28", "2024-02-29", "2024-03-01"]
    assert dates_of(DateRange(first="2026-11-22", to="2026-11-22"), NOW) == [dt.date(2026, 11, 22)]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (DateRange(), r"give --last N, or --from YYYY-MM-DD --to YYYY-MM-DD"),
        (DateRange(first="2026-11-22"), r"found --from alone"),
        (DateRange(to="2026-11-22"), r"found --to alone"),
        (DateRange(3, first="2026-11-22"), r"not both"),
        (DateRange(0), r"--last 0: expected a number from 1 to 3,660"),
        (DateRange(10**9), r"--last 1000000000: expected"),
        (DateRange(first="2026-11-23", to="2026-11-22"), r"--from 2026-11-23 is after --to 2026-11-22"),
        (DateRange(first="2026-11-31", to="2026-12-01"), r"--from '2026-11-31': expected YYYY-MM-DD"),
        (DateRange(first="2026-11-22", to="tomorrow"), r"--to 'tomorrow': expected YYYY-MM-DD"),
        (DateRange(first="0001-01-01", to="9999-12-31"), r"more than 3,660 nights"),
        (DateRange(1, timezone="Europe/Berln"), r"no such time zone; did you mean 'Europe/Berlin'\?"),
        (DateRange(1, timezone=""), r"no such time zone"),
        (DateRange(1, timezone="../../etc/passwd"), r"no such time zone"),
    ],
)
def test_a_range_that_means_no_dates_is_refused_in_one_line(wanted: DateRange, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        dates_of(wanted, NOW)
