"""Which dates a command means, by a clock that is read once."""

import datetime as dt
import zoneinfo
from dataclasses import dataclass

from pipeline_lib.errors import SettingsError, did_you_mean

MOST_NIGHTS = 3_660
"""More nights than ten years have are a mistake."""


@dataclass(frozen=True)
class DateRange:
    """The options of the command line that say which nights are meant."""

    last: int | None = None
    """The number of days up to yesterday."""
    first: str | None = None
    """The first day, as YYYY-MM-DD."""
    to: str | None = None
    """The last day."""
    timezone: str = "UTC"
    """The IANA name of the time zone that yesterday is meant in."""

    @property
    def is_given(self) -> bool:
        """Whether the options name any dates."""
        return self.last is not None or self.first is not None or self.to is not None


def dates_of(wanted: DateRange, now: dt.datetime) -> list[dt.date]:
    """Return the dates of a range, the first one first.

    Args:
        wanted: the options.
        now: the time with its zone; a command reads the clock once.

    Raises:
        SettingsError: the options contradict each other, or one is no date, number or time zone.
    """
    zone = time_zone(wanted.timezone)
    if wanted.last is not None:
        if wanted.first is not None or wanted.to is not None:
            raise SettingsError("--last N, or --from and --to, but not both")
        if not 1 <= wanted.last <= MOST_NIGHTS:
            raise SettingsError(f"--last {wanted.last}: expected a number from 1 to {MOST_NIGHTS:,}")
        yesterday = now.astimezone(zone).date() - dt.timedelta(days=1)
        return _days(yesterday - dt.timedelta(days=wanted.last - 1), yesterday)
    if wanted.first is None or wanted.to is None:
        given = "--from" if wanted.first is not None else "--to" if wanted.to is not None else "no date"
        raise SettingsError(f"found {given} alone; give --last N, or --from YYYY-MM-DD --to YYYY-MM-DD")
    first, to = parse_date(wanted.first, "--from"), parse_date(wanted.to, "--to")
    if first > to:
        raise SettingsError(f"--from {first} is after --to {to}")
    if (to - first).days >= MOST_NIGHTS:
        raise SettingsError(f"--from {first} --to {to}: more than {MOST_NIGHTS:,} nights")
    return _days(first, to)


def without_dates(output: str) -> SettingsError:
    """Return the error about an output whose path has no place for a date."""
    return SettingsError(f"output.path: {output!r} has no {{date}} in it, so it has no nights to choose from")


def parse_date(text: str, option: str) -> dt.date:
    """Return the date that an option names.

    Raises:
        SettingsError: it is none.
    """
    try:
        return dt.datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=dt.UTC).date()
    except ValueError:
        raise SettingsError(f"{option} {text!r}: expected YYYY-MM-DD, such as 2026-11-22") from None


def time_zone(name: str) -> zoneinfo.ZoneInfo:
    """Return the time zone of an IANA name.

    Raises:
        SettingsError: there is none of that name.
    """
    try:
        return zoneinfo.ZoneInfo(name)
    except (OSError, ValueError, zoneinfo.ZoneInfoNotFoundError):
        near = did_you_mean(name, zoneinfo.available_timezones())
        raise SettingsError(
            f"--timezone {name!r}: no such time zone{near}; expected an IANA name such as Europe/Berlin"
        ) from None


def _days(first: dt.date, to: dt.date) -> list[dt.date]:
    return [first + dt.timedelta(days=days) for days in range((to - first).days + 1)]
