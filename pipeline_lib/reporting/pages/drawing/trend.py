"""A line of the last nights, small enough to stand beside others."""

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 240, 56
_MARGIN = 6


@dataclass(frozen=True)
class Dot:
    """A night on the line."""

    x: float
    y: float
    held: bool


@dataclass(frozen=True)
class Trend:
    """The shapes of a line."""

    path: str
    """Of the line; where nights are missing it has a gap."""
    dots: tuple[Dot, ...]
    """Nights that are held, nights between gaps, and the last one."""
    lowest: float
    highest: float


def trend_of(values: Sequence[float | None], held: Sequence[bool]) -> Trend | None:
    """Return the line of values, or None where there is none.

    Args:
        values: one for each day, the first one first; None where there is no night.
        held: whether the night of each day is held.
    """
    known = [value for value in values if value is not None]
    if not known:
        return None
    lowest, highest = min(known), max(known)
    step = (WIDTH - 2 * _MARGIN) / max(len(values) - 1, 1)
    places = [
        None if value is None else (round(_MARGIN + at * step, 1), _y(value, lowest, highest))
        for at, value in enumerate(values)
    ]
    path, dots = "", list[Dot]()
    for at, place in enumerate(places):
        if place is None:
            continue
        before = places[at - 1] if at else None
        after = places[at + 1] if at + 1 < len(places) else None
        path += f"{'L' if before else 'M'}{place[0]:g} {place[1]:g}"
        if held[at] or not (before or after) or at == len(places) - 1:
            dots.append(Dot(*place, held[at]))
    return Trend(path, tuple(dots), lowest, highest)


def _y(value: float, lowest: float, highest: float) -> float:
    if lowest == highest:
        return HEIGHT / 2
    return round(HEIGHT - _MARGIN - (HEIGHT - 2 * _MARGIN) * (value - lowest) / (highest - lowest), 1)
