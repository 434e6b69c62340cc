"""The earlier nights of an output, by the few records of each that a comparison needs; no listing, no scores."""

import datetime as dt
import json
from collections.abc import Callable

from pipeline_lib.errors import NightscoreError
from pipeline_lib.machine.parallel import in_threads
from pipeline_lib.messages import count
from pipeline_lib.statistics.drift.references import NightRecord
from pipeline_lib.statistics.row_statistics import RowStatistics
from pipeline_lib.storage.integrity import read_success
from pipeline_lib.storage.records import METRICS
from pipeline_lib.storage.store_errors import translated_errors, with_retries
from pipeline_lib.storage.urls import location_of

MOST_DAYS = 60
"""Older nights are not looked at: eight weeks have eight nights of each weekday."""

_MOST_NAMED = 3


def earlier_nights(
    output_path: str, date: dt.date, pinned: dt.date | None, note: Callable[[str], None]
) -> list[NightRecord]:
    """Return the nights of the last weeks that have statistics, and the pinned night.

    A night is accepted if `_SUCCESS` stands and its metrics are of the manifest that it names: where a run was
    killed in between, or publishes again right now, they are not.

    Args:
        output_path: as in the settings, with `{date}` in it.
        date: of the night that is compared.
        pinned: date of the night that the settings pin.
        note: called once if metrics of nights can't be read; these nights are left out.
    """
    last = date.toordinal()
    dates = [dt.date.fromordinal(day) for day in range(max(1, last - MOST_DAYS), last)]
    dates += [pinned] if pinned and pinned != date and pinned not in dates else []
    unreadable: list[dt.date] = []

    def record_of(day: dt.date) -> NightRecord | None:
        try:
            url = output_path.replace("{date}", day.isoformat())
            # A store that fails for a moment must not weaken a gate; a file on a disk stays as it is.
            return _record(url, day) if location_of(url).is_local else with_retries(lambda: _record(url, day))
        except (NightscoreError, ValueError, RecursionError):
            unreadable.append(day)
            return None

    records = [record for record in in_threads(record_of, dates) if record]
    if unreadable:
        named = ", ".join(map(str, sorted(unreadable)[-_MOST_NAMED:]))
        more = f" and {len(unreadable) - _MOST_NAMED} more" if len(unreadable) > _MOST_NAMED else ""
        note(f"not compared with {count(len(unreadable), 'night')} whose {METRICS} can't be read: {named}{more}")
    return records


def _record(url: str, date: dt.date) -> NightRecord | None:
    """Return the record of a night, or None if it has no metrics, or those of a release without statistics.

    Raises:
        NightscoreError: the storage failed.
        ValueError: the metrics are damaged.
    """
    folder = location_of(url)
    with translated_errors(url, "reading the metrics of an earlier night"):
        content = (folder / METRICS).read()
        if content is None:
            return None
        told = json.loads(content)
        statistics = told.get("statistics") if isinstance(told, dict) else "none"
        if statistics is None:
            return None
        success = read_success(folder)
    rows = RowStatistics.from_json(statistics)
    return NightRecord(
        date=date,
        accepted=bool(success and success.manifest_sha256 == told.get("manifest_sha256")),
        score_version=str(told.get("score_version")),
        statistics=rows,
    )
