"""Which nights a backfill works on, by their states."""

import datetime as dt

import pytest

from pipeline_lib.errors import SettingsError
from pipeline_lib.nights.chosen import Only, Order, Request
from pipeline_lib.nights.dates import DateRange
from pipeline_lib.nights.night import STATES, Night
from tests.conftest import SettingsMaker

DAY = dt.date(2026, 11, 1)
NIGHTS = [Night(DAY + dt.timedelta(days=day), state) for day, state in enumerate(STATES)]


def request(only: Only, order: Order = Order.OLDEST) -> Request:
    return Request(tuple(night.date for night in NIGHTS if night.date), "UTC", only, order)


@pytest.mark.parametrize(
    ("only", "states"),
    [
        (Only.MISSING, ["failed", "interrupted", "no_input", "missing"]),
        (Only.FAILED, ["failed", "interrupted"]),
        (Only.STALE, ["stale"]),
        (Only.ALL, list(STATES)),
    ],
)
def test_the_state_of_a_night_decides_whether_it_is_worked_on(only: Only, states: list[str]) -> None:
    assert [night.state for night in request(only).chosen(NIGHTS)] == states


def test_the_newest_night_is_the_first_unless_the_oldest_is_asked_for() -> None:
    newest, oldest = (request(Only.ALL, order).chosen(NIGHTS) for order in (Order.NEWEST, Order.OLDEST))
    assert oldest == NIGHTS
    assert newest == NIGHTS[::-1]


def test_yesterday_is_meant_in_the_named_time_zone(settings_for: SettingsMaker) -> None:
    settings = settings_for(output={"path": "out/{date}"})
    now = dt.datetime(2026, 11, 22, 23, 30, tzinfo=dt.UTC)

    def last_day(zone: str) -> dt.date:
        return Request.of(settings, DateRange(2, timezone=zone), now, Only.MISSING, Order.NEWEST).dates[-1]

    assert last_day("UTC") == dt.date(2026, 11, 21)
    assert last_day("Europe/Berlin") == dt.date(2026, 11, 22)


def test_an_output_without_dates_has_no_nights(settings_for: SettingsMaker) -> None:
    with pytest.raises(SettingsError, match=r"has no \{date\} in it"):
        Request.of(settings_for(), DateRange(2), dt.datetime.now(dt.UTC), Only.MISSING, Order.NEWEST)
