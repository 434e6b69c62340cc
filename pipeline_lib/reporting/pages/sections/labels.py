"""Rejects, label shares and histograms, against those of the reference nights."""

from dataclasses import dataclass

from pipeline_lib.reporting.pages.drawing.chart import Chart, chart_of
from pipeline_lib.reporting.pages.drawing.columns import Column, columns_of
from pipeline_lib.reporting.pages.facts.night_files import NightFiles
from pipeline_lib.statistics.histogram import Histogram
from pipeline_lib.statistics.row_statistics import RowStatistics

MOST_HISTOGRAMS = 12


@dataclass(frozen=True)
class Share:
    """A part of a whole."""

    name: str
    count: int
    share: float
    reference: float | None = None
    """The share in the reference nights."""


@dataclass(frozen=True)
class Picture:
    """A histogram with its table."""

    title: str
    is_label: bool
    """Whether the title is a label."""
    count: int
    columns: list[Column]
    chart: Chart
    limit: int | None = None


def rejects_of(night: NightFiles) -> list[Share]:
    """Return the rejected rows by reason, the most frequent first; shares are those of all rows."""
    codes = night.figures.reject_codes or {}
    rows = max(night.figures.scored + night.figures.rejected, 1)
    return [
        Share(code, count, count / rows) for code, count in sorted(codes.items(), key=lambda it: (-it[1], it[0]))
    ]


def label_shares(rows: RowStatistics, reference: RowStatistics | None) -> list[Share]:
    """Return the shares of the labels, the most frequent first; those of the reference too that are missing now."""
    before = reference.labels if reference else {}
    names = {**dict.fromkeys(before, 0), **rows.labels}
    others = max(sum(before.values()), 1)
    return [
        Share(label, count, count / max(rows.scored, 1), before.get(label, 0) / others if reference else None)
        for label, count in sorted(names.items(), key=lambda item: (-item[1], item[0]))
    ]


def score_pictures(rows: RowStatistics, reference: RowStatistics | None) -> list[Picture]:
    """Return the histogram of all top scores, then that of each of the most frequent labels."""
    pictures = [_picture("All labels", rows.top_scores, reference.top_scores if reference else None)]
    if len(rows.labels) > 1:
        frequent = sorted(rows.labels, key=lambda label: (-rows.labels[label], label))[:MOST_HISTOGRAMS]
        pictures += [
            _picture(
                label,
                rows.label_scores[label],
                reference.label_scores.get(label) if reference else None,
                is_label=True,
            )
            for label in frequent
        ]
    return [picture for picture in pictures if picture]


def token_picture(rows: RowStatistics, reference: RowStatistics | None, limit: int | None) -> Picture | None:
    """Return the histogram of the lengths in tokens, with the limit of the model."""
    return _picture("Tokens of a text", rows.tokens, reference.tokens if reference else None, limit=limit)


def _picture(
    title: str, night: Histogram, reference: Histogram | None, *, is_label: bool = False, limit: int | None = None
) -> Picture | None:
    columns = columns_of(night, reference)
    return Picture(title, is_label, night.total, columns, chart_of(columns, limit), limit) if columns else None
