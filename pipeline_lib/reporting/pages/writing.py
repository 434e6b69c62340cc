"""Writes the page of a night beside its result, and finds where it is."""

import datetime as dt

from pipeline_lib.reporting.pages.facts.earlier_nights import earlier_nights
from pipeline_lib.reporting.pages.facts.night_files import read_night
from pipeline_lib.reporting.pages.night_page import night_page, reference_dates
from pipeline_lib.storage.store_errors import translated_errors
from pipeline_lib.storage.urls import location_of


def write_page(output: str, date: dt.date | None) -> str:
    """Make the page of a night from its files, and return where it is.

    It is `_report.html` beside the result, or beside what is staged of a night that a gate holds.

    Args:
        output: path of the output as in the settings, with `{date}` still in it.
        date: of the night, if the output has dates.

    Raises:
        InputNotReadyError: nothing is published or held there.
        NightscoreError: the storage failed.
    """
    folder = location_of(output.replace("{date}", date.isoformat()) if date else output)
    night = read_night(folder, date)
    is_dated = date is not None and "{date}" in output
    earlier = earlier_nights(output, date, reference_dates(night)) if date and is_dated else {}
    html = night_page(night, earlier)
    with translated_errors(folder.url, "writing the page"):
        night.page.write(html)
    return night.page.url
