"""The page of a night: from its files and those of earlier nights to HTML."""

import datetime as dt
from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add
from typing import Any

from pipeline_lib.reporting.pages.facts.earlier_nights import TREND_NIGHTS, EarlierNight
from pipeline_lib.reporting.pages.facts.night_files import NightFiles
from pipeline_lib.reporting.pages.rendering import rendered
from pipeline_lib.reporting.pages.sections import labels
from pipeline_lib.reporting.pages.sections.run import RunTime, model_facts
from pipeline_lib.reporting.pages.sections.shards import shard_table
from pipeline_lib.reporting.pages.sections.trends import NightLine, commonest_label, line_of, trends_of
from pipeline_lib.reporting.pages.sections.truth import truth_section
from pipeline_lib.reporting.pages.sections.verdict import headline_of
from pipeline_lib.statistics.drift.measures import MIN_REFERENCE_ROWS, MIN_ROWS
from pipeline_lib.statistics.row_statistics import RowStatistics


def night_page(night: NightFiles, earlier: Mapping[dt.date, EarlierNight]) -> bytes:
    """Return the page of a night as HTML.

    Args:
        night: what its files tell.
        earlier: nights before it, those among them that it was compared with.
    """
    figures = night.figures
    rows, reference = figures.counted, _reference(night, earlier)
    lines = _lines(night, earlier)
    label = commonest_label(reference or rows)
    return rendered(
        "night",
        title=f"Night of {night.date}" if night.date else "Scores",
        night=night,
        figures=figures,
        headline=headline_of(night),
        rejects=labels.rejects_of(night),
        rows=rows,
        reference=reference,
        drift=figures.compared,
        least_rows=(MIN_ROWS, MIN_REFERENCE_ROWS),
        **_pictures(night, rows, reference),
        truth=truth_section(figures.evaluated),
        shards=shard_table(night.shards),
        time=RunTime.of(figures),
        model=model_facts(night),
        precision_drift=night.manifest.drift if night.manifest else None,
        lines=[line for line in lines[::-1] if line],
        trends=trends_of(lines, label) if len([line for line in lines if line]) > 1 else [],
        trend_label=label,
    )


def _pictures(night: NightFiles, rows: RowStatistics | None, reference: RowStatistics | None) -> dict[str, Any]:
    if rows is None:
        return {"labels": [], "scores": [], "tokens": None}
    limit = None if night.model.get("windows") else night.model.get("max_tokens")  # in windows nothing is cut
    return {
        "labels": labels.label_shares(rows, reference),
        "scores": labels.score_pictures(rows, reference),
        "tokens": labels.token_picture(rows, reference, limit if isinstance(limit, int) else None),
    }


def _reference(night: NightFiles, earlier: Mapping[dt.date, EarlierNight]) -> RowStatistics | None:
    """Return the statistics of all reference nights together, as far as they are there and have the same bins."""
    drift, rows = night.figures.compared, night.figures.counted
    dates = reference_dates(night)
    found = [earlier[date].figures.counted for date in dates if date in earlier]
    same = [each for each in found if each and rows and each.bins is rows.bins]
    return reduce(add, same) if drift and same else None


def reference_dates(night: NightFiles) -> list[dt.date]:
    """Return the dates of the nights that a night was compared with."""
    drift = night.figures.compared
    dates = list[dt.date]()
    for text in drift.reference.nights if drift else ():
        try:
            dates.append(dt.date.fromisoformat(text))
        except ValueError:  # written by something else
            continue
    return dates


def _lines(night: NightFiles, earlier: Mapping[dt.date, EarlierNight]) -> Sequence[NightLine | None]:
    """Return a line for each of the last days, this night's last; None for days without a night."""
    own = NightLine(night.date, "", night.figures, night.held, None)
    if night.date is None:
        return [own]
    days = [night.date - dt.timedelta(days=back) for back in range(TREND_NIGHTS - 1, 0, -1)]
    lines = [line_of(night.page_folder, earlier[day]) if day in earlier else None for day in days]
    first = next((at for at, line in enumerate(lines) if line), len(lines))
    return [*lines[first:], own]
