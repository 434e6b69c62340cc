"""What a backfill would do, from listings and footers alone: no model is loaded, and nothing is written."""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence

from pipeline_lib.errors import NightscoreError
from pipeline_lib.messages import count
from pipeline_lib.nights.chosen import Request
from pipeline_lib.nights.night import Night
from pipeline_lib.planning.discovery import discover
from pipeline_lib.settings.settings import Settings


def dry_run_lines(jobs: Mapping[str, Settings], request: Request, nights: Sequence[Night]) -> Iterator[str]:
    """Yield a line for each night, in the order in which a backfill would take them, and one for all.

    Args:
        jobs: settings as read, with `{date}` still in their paths, by the names of the models.
        request: what the backfill was asked for.
        nights: all nights of the range, with their states.
    """
    chosen, rows, unknown = request.chosen(nights), 0, 0
    for night in chosen:
        known, what = _input_of(jobs[night.name], night.date)
        rows, unknown = rows + (known or 0), unknown + (known is None)
        yield f"{night.title}  {night.state:<11}  {what}"
    for night in nights:
        if night not in chosen:
            yield f"{night.title}  {night.state:<11}  nothing to do"
    more = f", and those of {count(unknown, 'night')} whose rows are not known" if unknown else ""
    yield f"to do    {count(len(chosen), 'night')}, {count(rows, 'row')}{more}"


def _input_of(settings: Settings, date: dt.date | None) -> tuple[int | None, str]:
    """Return the rows of a night's input, or None where only a run can tell; and the input in words."""
    try:
        found = discover(settings.on_date(date), date=date)
    except NightscoreError as error:
        return None, f"can't be scored now: {error}"
    shards = count(len(found.headers), "shard")
    rows = [header.rows for header in found.headers.values() if header.rows is not None]
    if len(rows) < len(found.headers):
        return None, f"{shards}; only a run counts the rows of CSV files"
    return sum(rows), f"{shards}, {count(sum(rows), 'row')}"
