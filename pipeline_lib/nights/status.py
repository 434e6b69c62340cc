"""How nights went, from files alone: one listing of the outputs, one of the inputs, and one small read a night."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from pipeline_lib.machine.parallel import in_threads
from pipeline_lib.nights.dates import DateRange, dates_of, without_dates
from pipeline_lib.nights.listing import NightInput, list_inputs, list_outputs
from pipeline_lib.nights.liveness import newest_runs
from pipeline_lib.nights.night import Night
from pipeline_lib.nights.staleness import Present
from pipeline_lib.nights.states import Facts, needs_success, night_of
from pipeline_lib.reporting.records.run_record import record_names
from pipeline_lib.settings.settings import Settings
from pipeline_lib.storage.integrity import read_success
from pipeline_lib.storage.records import SUCCESS
from pipeline_lib.storage.store_errors import translated_errors
from pipeline_lib.storage.urls import location_of

DEFAULT_NIGHTS = 14


def nights_meant(settings: Settings, wanted: DateRange, now: dt.datetime) -> Sequence[dt.date | None]:
    """Return the dates that a command on nights means; `[None]` for an output without dates.

    Args:
        settings: as read.
        wanted: the options; without any they mean the last 14 nights.
        now: the time with its zone.

    Raises:
        SettingsError: the options are wrong, or name dates of an output that has none.
    """
    if "{date}" in settings.output.path:
        return dates_of(wanted if wanted.is_given else DateRange(DEFAULT_NIGHTS, timezone=wanted.timezone), now)
    if wanted.is_given:
        raise without_dates(settings.output.path)
    return [None]


def status_of_models(
    jobs: Mapping[str, Settings], dates: Sequence[dt.date | None], now: dt.datetime, on_note: Callable[[str], None]
) -> list[Night]:
    """Return the state of each night with each model; the arguments are those of `nights_status`."""
    found = [
        [replace(night, name=name) for night in nights_status(settings, dates, now, on_note)]
        for name, settings in jobs.items()
    ]
    return [night for of_night in zip(*found, strict=True) for night in of_night]


def nights_status(
    settings: Settings,
    dates: Sequence[dt.date | None],
    now: dt.datetime,
    on_note: Callable[[str], None] = lambda _: None,
) -> list[Night]:
    """Return the state of each night; nothing is written.

    Args:
        settings: as read, with `{date}` still in its paths.
        dates: of the nights, or None for an output without dates.
        now: the time in UTC.
        on_note: called with what the user should know and is no failure.

    Raises:
        NightscoreError: a storage failed, or there is no such bucket.
    """
    urls = [_filled(settings.output.path, date) for date in dates]
    files = list_outputs(urls)
    inputs = _inputs(settings, dates)
    folders = [location_of(url) for url in urls]
    names = [record_names(name for name, stamp in each.items() if stamp.regular) for each in files]
    marked = [at for at, each in enumerate(files) if SUCCESS in each]
    with translated_errors(urls[0], "reading the records of runs"):
        runs = newest_runs(list(zip(folders, names, strict=True)), now)
        marks = in_threads(lambda at: read_success(folders[at]) if needs_success(runs[at].record) else None, marked)
        success = dict(zip(marked, marks, strict=True))
    present = Present(settings)
    if present.note:
        on_note(present.note)
    return [
        night_of(
            Facts(date, runs[at].record, runs[at].is_alive, at in success, success.get(at), inputs[at]), present
        )
        for at, date in enumerate(dates)
    ]


def _inputs(settings: Settings, dates: Sequence[dt.date | None]) -> list[NightInput]:
    paths = settings.input.paths
    dated = any("{date}" in path for path in paths)
    if dated and dates == [None]:  # an output without dates, of inputs with them
        return [NightInput(0, "")]
    return list_inputs([[_filled(path, date) for path in paths] for date in dates], dated=dates != [None])


def _filled(path: str, date: dt.date | None) -> str:
    return path.replace("{date}", date.isoformat()) if date else path
