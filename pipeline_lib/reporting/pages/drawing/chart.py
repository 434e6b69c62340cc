"""Where the shapes of a histogram's picture are, in units of its view box."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline_lib.reporting.pages.drawing.columns import Column, in_words

WIDTH, HEIGHT = 320, 132
_TOP, _FLOOR = 8, 112
_MOST_TICKS = 7
# Scores that people think in, and lengths in tokens.
_ROUND = {
    0.0001,
    0.001,
    0.01,
    0.1,
    0.3,
    0.5,
    0.7,
    0.9,
    0.99,
    0.999,
    0.9999,
    *(1 << power for power in range(2, 21)),
}


@dataclass(frozen=True)
class Bar:
    """A column's rectangle."""

    x: float
    y: float
    width: float
    height: float
    over: bool
    """Whether it is beyond the limit."""


@dataclass(frozen=True)
class Chart:
    """A picture of a histogram; as wide as a phone, so that its text is never too small."""

    bars: tuple[Bar, ...]
    outline: str
    """Path of the reference's outline; empty without a reference."""
    ticks: tuple[tuple[float, str], ...]
    """Where an edge has a number, and the number."""
    limit_x: float | None
    """Where the limit is, if it is within the picture."""
    highest: float
    """The share that the highest column has."""


def chart_of(columns: Sequence[Column], limit: float | None = None) -> Chart:
    """Return the picture of columns.

    Args:
        columns: one at least.
        limit: a value to mark; columns that begin at it or after it are told apart.
    """
    width = WIDTH / len(columns)
    highest = max(max(column.share, column.reference or 0) for column in columns) or 1.0
    bars = tuple(
        Bar(
            x=round(at * width + 1, 1),
            y=_height_at(column.share, highest),
            width=round(width - 2, 1),
            height=round(_FLOOR - _height_at(column.share, highest), 1),
            over=limit is not None and column.start is not None and column.start >= limit,
        )
        for at, column in enumerate(columns)
    )
    return Chart(
        bars, _outline(columns, width, highest), _ticks(columns, width), _x_of(columns, width, limit), highest
    )


def _height_at(share: float, highest: float) -> float:
    return round(_FLOOR - (_FLOOR - _TOP) * share / highest, 1)


def _outline(columns: Sequence[Column], width: float, highest: float) -> str:
    if any(column.reference is None for column in columns):
        return ""
    heights = [_height_at(column.reference or 0, highest) for column in columns]
    steps = [f"V{height:g}H{round((at + 1) * width, 1):g}" for at, height in enumerate(heights)]
    return f"M0 {_FLOOR}{''.join(steps)}V{_FLOOR}"


def _ticks(columns: Sequence[Column], width: float) -> tuple[tuple[float, str], ...]:
    edges = [(at * width, column.start) for at, column in enumerate(columns) if column.start is not None]
    if columns[-1].end is not None:
        edges.append((len(columns) * width, columns[-1].end))
    edges = [edge for edge in edges if edge[1] in _ROUND] or edges
    step = -(-len(edges) // _MOST_TICKS) or 1
    return tuple((round(x, 1), in_words(value)) for x, value in edges[::-1][::step])[::-1]


def _x_of(columns: Sequence[Column], width: float, value: float | None) -> float | None:
    """Return where a value is: between the edges of its column in proportion."""
    for at, column in enumerate(columns):
        start, end = column.start or 0.0, column.end
        if value is not None and end is not None and start <= value <= end:
            return round((at + (value - start) / (end - start)) * width, 1)
    return None
