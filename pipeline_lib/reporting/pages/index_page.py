"""The page of all nights of an output: a line for each, with its verdict and a link to its page."""

import datetime as dt
from collections.abc import Sequence

from pipeline_lib.reporting.pages.facts.earlier_nights import EarlierNight
from pipeline_lib.reporting.pages.facts.output_nights import OutputNights, nights_of
from pipeline_lib.reporting.pages.rendering import rendered
from pipeline_lib.reporting.pages.sections.trends import NightLine, commonest_label, line_of, trends_of
from pipeline_lib.storage.location import Location
from pipeline_lib.storage.records import INDEX
from pipeline_lib.storage.store_errors import translated_errors
from pipeline_lib.storage.urls import location_of

MOST_DAYS = 92
"""Of the trends: a quarter of a year."""


def write_index(output: str, target: str | None = None, model: str = "") -> str:
    """Make the page of all nights of an output, and return where it is.

    Args:
        output: see `nights_of`.
        target: the file to write; `_index.html` beside the nights if None.
        model: the name of its model, if the settings file has several: each has a page of its own there.

    Raises:
        InputNotReadyError: no run has left anything there.
        NightscoreError: the storage failed.
    """
    found = nights_of(output)
    page = location_of(target) if target else found.root / (f"_index_{model}.html" if model else INDEX)
    start = location_of(page.url_of(page.path.rpartition("/")[0]))
    html = index_page(found, start)
    with translated_errors(page.url, "writing the page"):
        page.write(html)
    return page.url


def index_page(found: OutputNights, start: Location) -> bytes:
    """Return the page of the nights of an output as HTML.

    Args:
        found: the nights.
        start: the folder of the page, from which its links lead.
    """
    lines = [line_of(start, night) for night in found.nights]
    label = next((name for line in lines if (name := commonest_label(line.figures.counted))), None)
    days = _by_day(found.nights, lines)
    return rendered(
        "index",
        title="All nights",
        root=found.root.url,
        lines=lines,
        held=sum(line.held for line in lines),
        warned=sum(line.kind == "warn" for line in lines),
        trends=trends_of(days, label) if len(lines) > 1 else [],
        trend_label=label,
    )


def _by_day(nights: Sequence[EarlierNight], lines: Sequence[NightLine]) -> Sequence[NightLine | None]:
    """Return a line for each of the last days, None for days without a night; without dates one after another."""
    dated = {night.date: line for night, line in zip(nights, lines, strict=True) if night.date}
    if len(dated) < len(lines):
        return list(lines[:MOST_DAYS])[::-1]
    newest, oldest = max(dated), min(dated)
    days = min((newest - oldest).days + 1, MOST_DAYS)
    return [dated.get(newest - dt.timedelta(days=back)) for back in range(days - 1, -1, -1)]
