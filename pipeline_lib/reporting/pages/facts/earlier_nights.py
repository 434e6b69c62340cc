"""Earlier nights of an output: their figures, from `_metrics.json` where they are published, else from records."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from pipeline_lib.machine.parallel import in_threads
from pipeline_lib.reporting.pages.facts.figures import NightFigures, parse_figures
from pipeline_lib.reporting.pages.facts.night_files import held_figures, is_held, newest_figures
from pipeline_lib.reporting.records.run_record import record_names
from pipeline_lib.storage.location import Location
from pipeline_lib.storage.records import METRICS, RUNS
from pipeline_lib.storage.store_errors import translated_errors
from pipeline_lib.storage.urls import location_of

TREND_NIGHTS = 30


@dataclass(frozen=True)
class EarlierNight:
    """A night with figures."""

    folder: Location
    date: dt.date | None
    figures: NightFigures
    held: bool = False


def night_in(folder: Location, date: dt.date | None) -> EarlierNight | None:
    """Return the night in a folder, or None where nothing is published or held.

    Raises:
        OSError: a file can't be read.
    """
    figures = parse_figures((folder / METRICS).read())
    if figures:
        return EarlierNight(folder, date, figures)
    run = newest_figures(folder, record_names(f"{RUNS}/{name}" for name in (folder / RUNS).names()))
    return EarlierNight(folder, date, held_figures(folder, run), held=True) if run and is_held(run) else None


def earlier_nights(output: str, date: dt.date, more: Iterable[dt.date] = ()) -> dict[dt.date, EarlierNight]:
    """Return the nights before a date, by one small read each.

    Args:
        output: path of the output, with `{date}` in it.
        date: of the night that they are shown with.
        more: dates of further nights to read, such as those that the night was compared with.

    Raises:
        NightscoreError: the storage failed.
    """
    days = {date - dt.timedelta(days=back) for back in range(1, TREND_NIGHTS)} | set(more)
    with translated_errors(output, "reading earlier nights"):
        found = in_threads(lambda day: night_in(location_of(output.replace("{date}", day.isoformat())), day), days)
        return {night.date: night for night in found if night and night.date}
