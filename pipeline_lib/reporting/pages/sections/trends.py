"""The last nights as small lines, and as the table that stands under them."""

import datetime as dt
import os.path
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import quote

from pipeline_lib.reporting.pages.drawing.trend import Trend, trend_of
from pipeline_lib.reporting.pages.facts.earlier_nights import EarlierNight
from pipeline_lib.reporting.pages.facts.figures import NightFigures
from pipeline_lib.reporting.pages.rendering import decimal, number, percent
from pipeline_lib.statistics.row_statistics import RowStatistics
from pipeline_lib.storage.location import Location
from pipeline_lib.storage.records import REPORT, STAGING


@dataclass(frozen=True)
class NightLine:
    """A night in a table of nights."""

    date: dt.date | None
    name: str
    """Of its folder, where it has no date."""
    figures: NightFigures
    held: bool
    link: str | None
    """Relative, quoted; None where there is no page, or for the night of this page itself."""

    @property
    def verdict(self) -> str:
        """How it went, in a few words."""
        if self.held:
            return f"held by {self.figures.gate or 'a limit'}"
        drift = self.figures.compared
        if self.figures.accepted_gates:
            return f"published in spite of {', '.join(self.figures.accepted_gates)}"
        return "published, with a warning" if drift and drift.verdict == "warned" else "published"

    @property
    def kind(self) -> str:
        """The kind of the verdict, by which it is coloured."""
        return "bad" if self.held else "good" if self.verdict == "published" else "warn"

    @property
    def mean_score(self) -> float | None:
        """See `mean_score`."""
        return mean_score(self.figures)

    def share(self, label: str | None) -> float | None:
        """See `label_share`."""
        return label_share(self.figures, label)


@dataclass(frozen=True)
class NamedTrend:
    """A line and what it shows."""

    name: str
    trend: Trend
    last: str
    lowest: str
    highest: str


def label_share(figures: NightFigures, label: str | None) -> float | None:
    """Return the share of a label among the scored rows, or None where it is not known."""
    rows = figures.counted
    return rows.labels.get(label, 0) / rows.scored if rows and rows.scored and label is not None else None


def mean_score(figures: NightFigures) -> float | None:
    """Return the mean top score, or None where it is not known."""
    return figures.mean_score if figures.scored else None


def commonest_label(rows: RowStatistics | None) -> str | None:
    """Return the label that most rows have, or None without rows."""
    return max(sorted(rows.labels), key=lambda label: rows.labels[label]) if rows and rows.labels else None


def trends_of(nights: Sequence[NightLine | None], label: str | None) -> list[NamedTrend]:
    """Return the lines of nights.

    Args:
        nights: one for each day, the first one first; None where there is none.
        label: whose share is shown.
    """
    wanted: Mapping[str, tuple[Callable[[NightFigures], float | None], Callable[[float | None], str]]] = {
        "Rows": (lambda night: night.rows, number),
        "Rejected": (lambda night: night.reject_rate, partial(percent, digits=2)),
        f"Share of {label}": (partial(label_share, label=label), percent),
        "Mean score": (mean_score, decimal),
        "Seconds": (lambda night: night.seconds or None, number),
    }
    held = [bool(night and night.held) for night in nights]
    found = list[NamedTrend]()
    for name, (get, words) in wanted.items():
        values = [get(night.figures) if night else None for night in nights]
        trend = trend_of(values, held)
        if trend:
            found.append(NamedTrend(name, trend, words(values[-1]), words(trend.lowest), words(trend.highest)))
    return found


def line_of(start: Location, night: EarlierNight) -> NightLine:
    """Return the line of a night.

    Args:
        start: the folder of the page that has the line.
        night: what is known of it.
    """
    figures = night.figures
    # Releases that counted nothing wrote no pages.
    folder = night.folder / STAGING / figures.version if night.held else night.folder
    link = relative_link(start, folder / REPORT) if figures.counted else None
    return NightLine(night.date, night.folder.path.rpartition("/")[2], figures, night.held, link)


def relative_link(start: Location, target: Location) -> str:
    """Return the address of a file as seen from a page in a folder, quoted so that it is always a relative one."""
    return quote(os.path.relpath(f"/{target.path.lstrip('/')}", f"/{start.path.lstrip('/')}"))
