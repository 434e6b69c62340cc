"""The nights of an output, found by one listing: each folder in which a run left its records."""

import datetime as dt
import os.path
import re
from dataclasses import dataclass

from pipeline_lib.errors import InputNotReadyError
from pipeline_lib.machine.parallel import in_threads
from pipeline_lib.reporting.pages.facts.earlier_nights import EarlierNight, night_in
from pipeline_lib.storage.location import Location
from pipeline_lib.storage.records import METRICS, RUNS
from pipeline_lib.storage.store_errors import translated_errors
from pipeline_lib.storage.urls import location_of

_DATE = re.compile(r"\d{4}-\d\d-\d\d")


@dataclass(frozen=True)
class OutputNights:
    """All nights of an output."""

    root: Location
    """The folder that all of them are in; of an output without dates the output itself."""
    nights: tuple[EarlierNight, ...]
    """The newest first."""


def nights_of(output: str) -> OutputNights:
    """Return the nights of an output.

    Args:
        output: the folder that has the nights, one of them, or the path as in the settings, with `{date}` in it.

    Raises:
        InputNotReadyError: no run has left anything there.
        NightscoreError: the storage failed, or there is no such bucket.
    """
    # The name that the date is a part of belongs to the nights.
    before, date, _ = output.partition("{date}")
    after = output.rpartition("{date}")[2].rstrip("/") if date else ""
    root = location_of(os.path.dirname(before) if date else output)
    with translated_errors(root.url, "looking at the nights"):
        folders = _folders(root)
        name = os.path.basename(root.path)
        if folders == [""] and _DATE.search(name):
            root = location_of(root.url_of(os.path.dirname(root.path)))
            folders = _folders(root)
        # An output without dates has no nights below it, and one with dates nothing beside them.
        folders = [folder for folder in folders if folder.endswith(after)]
        below = [folder for folder in folders if folder] or folders
        places = [(root / folder if folder else root, _date_in(folder)) for folder in below]
        found = [night for night in in_threads(lambda place: night_in(*place), places) if night]
    if not found:
        raise InputNotReadyError(f"{root.url!r}: no run has published anything or was held there")
    nights = sorted(found, key=lambda night: (night.date or dt.date.min, night.folder.path), reverse=True)
    return OutputNights(root, tuple(nights))


def _folders(root: Location) -> list[str]:
    """Return the paths below a folder of all folders that have records of runs."""
    found = set()
    for name in root.files():
        folder, _, last = name.rpartition("/")
        if last == METRICS and "_staging" not in folder.split("/"):
            found.add(folder)
        if os.path.basename(folder) == RUNS:
            found.add(os.path.dirname(folder))
    return sorted(found)


def _date_in(folder: str) -> dt.date | None:
    for text in _DATE.findall(folder)[::-1]:
        try:
            return dt.date.fromisoformat(text)
        except ValueError:  # such as 2026-99-99
            continue
    return None
