"""Which nights a backfill works on: those of a range that are in the states it was asked for."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pipeline_lib.messages import count
from pipeline_lib.nights.dates import DateRange, dates_of, without_dates
from pipeline_lib.nights.night import STATES, Night, State
from pipeline_lib.settings.settings import Settings


class Only(StrEnum):
    """Which nights of the range are worked on."""

    MISSING = "missing"
    FAILED = "failed"
    STALE = "stale"
    ALL = "all"


class Order(StrEnum):
    """Which night is the first."""

    NEWEST = "newest"
    OLDEST = "oldest"


_CHOSEN: dict[Only, frozenset[State]] = {
    Only.MISSING: frozenset({"missing", "no_input", "interrupted", "failed"}),
    Only.FAILED: frozenset({"failed", "interrupted"}),
    Only.STALE: frozenset({"stale"}),
    Only.ALL: frozenset(STATES),
}


@dataclass(frozen=True)
class Request:
    """What a backfill was asked for; each night's record has it."""

    dates: tuple[dt.date, ...]
    """In the order of the calendar."""
    timezone: str
    only: Only = Only.MISSING
    order: Order = Order.NEWEST

    @classmethod
    def of(cls, settings: Settings, wanted: DateRange, now: dt.datetime, only: Only, order: Order) -> "Request":
        """Return the request that the options of a command mean.

        Args:
            settings: as read.
            wanted: the options that name the dates.
            now: the time with its zone; a command reads the clock once.
            only: which nights.
            order: which is the first.

        Raises:
            SettingsError: the options are wrong, or the output has no dates.
        """
        if "{date}" not in settings.output.path:
            raise without_dates(settings.output.path)
        return cls(tuple(dates_of(wanted, now)), wanted.timezone, only, order)

    def as_json(self) -> dict[str, Any]:
        """Return the request as plain JSON values."""
        return {
            "from": self.dates[0].isoformat(),
            "to": self.dates[-1].isoformat(),
            "timezone": self.timezone,
            "only": self.only.value,
            "order": self.order.value,
        }

    def in_words(self) -> str:
        """Return which nights are meant, in words."""
        first, last = self.dates[0], self.dates[-1]
        days = f"{first}" if first == last else f"{first} to {last}"
        which = "all of them" if self.only is Only.ALL else f"those that are {self.only.value}"
        return f"{days} ({count(len(self.dates), 'night')}, {self.timezone}); {which}, the {self.order.value} first"

    def chosen(self, nights: Iterable[Night]) -> list[Night]:
        """Return the nights to work on, the first one first."""
        states = _CHOSEN[self.only]
        chosen = (night for night in nights if night.state in states)
        # Models of a night stay in their order, whichever night is the first.
        return sorted(chosen, key=_date, reverse=self.order is Order.NEWEST)


def _date(night: Night) -> dt.date:
    return night.date or dt.date.min
