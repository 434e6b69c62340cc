"""The table of nights: drawn on a terminal, and plain lines in a log or a pipe."""

from collections import Counter
from collections.abc import Sequence
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline_lib.machine.terminal import printable
from pipeline_lib.messages import count, duration
from pipeline_lib.nights.night import STATES, Night, State

_COLORS = {"published": "green", "running": "cyan", "no_input": "yellow", "missing": "yellow", "stale": "yellow"}
_COLUMNS = ("night", "state", "rows", "rejected", "model", "when (UTC)", "took", "why")
_NARROW_COLUMNS = ("night", "state", "rows", "why")
_WIDE = 100
_NUMBERS = ("rows", "rejected", "took")


def print_table(nights: Sequence[Night], terminal: TextIO | None) -> None:
    """Print a line for each night on standard output.

    Args:
        nights: in the order of the lines.
        terminal: where to draw, or None to print plain lines, which no width cuts.
    """
    rows = [_cells(night) for night in nights]
    if terminal is None:  # a log or a pipe
        for line in _plain([_COLUMNS, *rows]):
            print(line)  # noqa: T201 - a command's output
        return
    console = Console(file=terminal)
    shown = _COLUMNS if console.width >= _WIDE else _NARROW_COLUMNS
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in shown:
        table.add_column(name, justify="right" if name in _NUMBERS else "left", overflow="fold")
    for night, cells in zip(nights, rows, strict=True):
        texts = {name: Text(cell) for name, cell in zip(_COLUMNS, cells, strict=True)}
        texts["state"].stylize(_COLORS.get(night.state, "red"))
        table.add_row(*(texts[name] for name in shown))
    console.print(table)


def in_words(states: Sequence[State]) -> str:
    """Return how many nights are in which state."""
    nights = Counter(states)
    shares = ", ".join(f"{nights[state]:,} {state}" for state in STATES if nights[state])
    return f"{count(len(states), 'night')}: {shares}"


def _plain(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if name in _NUMBERS else cell.ljust(width)
            for name, cell, width in zip(_COLUMNS, cells, widths, strict=True)
        ).rstrip()
        for cells in rows
    ]


def _cells(night: Night) -> tuple[str, ...]:
    when = (night.finished_at or night.started_at or "").replace("T", " ").removesuffix("+00:00")
    reason = f"{night.gate}: {night.reason}" if night.gate else night.reason
    cells = (
        night.title,
        night.state,
        "" if night.rows is None else f"{night.rows:,}",
        "" if night.rejected is None else f"{night.rejected:,}",
        _model(night),
        when[:16],
        "" if night.seconds is None else duration(night.seconds),
        reason,
    )
    return tuple(map(printable, cells))


def _model(night: Night) -> str:
    """Return the last part of the model's name, and the beginning of its commit."""
    name = (night.model or "").rstrip("/").rpartition("/")[2]
    return f"{name}@{night.commit[:7]}" if night.commit else name
