"""A difference of two outputs as lines of text: tables by shard and by label, and the rows that differ most."""

import re
from collections.abc import Sequence

from pipeline_lib.comparing.difference import Difference, in_digits
from pipeline_lib.comparing.ids import shown_id
from pipeline_lib.machine.terminal import printable
from pipeline_lib.messages import shortened

_MOST_SHARDS = 10
_MOST_LABELS = 12
_MOST_EXAMPLES = 10
_LONGEST_NAME = 60

Table = list[tuple[str, ...]]
"""A head and its rows, as text."""


def lines(difference: Difference) -> list[str]:
    """Return the tables as lines, escaped."""
    found = difference.comparison
    told: list[str] = []
    for title, table in (
        ("by shard, the worst first", by_shard(difference)),
        ("by label, from the first output to the second", by_label(difference)),
        ("rows that differ most", examples(difference)),
    ):
        if len(table) > 1:
            told += [title, *_aligned(table), ""]
    if found.only_in_first or found.only_in_second:
        only = f"{found.only_in_first:,} only in the first, {found.only_in_second:,} only in the second"
        told += [f"rows with a score in one output alone: {only}", ""]
    return told


def by_shard(difference: Difference, most: int = _MOST_SHARDS) -> Table:
    """Return the shards with the largest share of flips, then with the largest difference."""
    shards = sorted(
        difference.comparison.shards.items(),
        key=lambda item: (-item[1].flips / max(item[1].rows, 1), -item[1].largest, item[0]),
    )
    rows = [
        (
            path,
            f"{each.rows:,}",
            f"{each.flips:,}",
            f"{_percent(each.flips / max(each.rows, 1))}",
            f"{in_digits(each.largest)}",
        )
        for path, each in shards[:most]
    ]
    if len(shards) > most:
        others = [each for _, each in shards[most:]]
        count, flips = sum(each.rows for each in others), sum(each.flips for each in others)
        largest = max(each.largest for each in others)
        name = f"{len(others):,} others"
        rows.append(
            (name, f"{count:,}", f"{flips:,}", f"{_percent(flips / max(count, 1))}", f"{in_digits(largest)}")
        )
    return [("shard", "rows", "flips", "share", "largest"), *rows]


def by_label(difference: Difference, most: int = _MOST_LABELS) -> Table:
    """Return the most frequent flips, by the labels between which they are."""
    found = difference.comparison
    flips = sorted(
        ((pair, rows) for pair, rows in found.labels.items() if pair[0] != pair[1]),
        key=lambda item: (-item[1], item[0]),
    )
    rows = [(f"{one} -> {other}", f"{n:,}", f"{_percent(n / found.rows)}") for (one, other), n in flips[:most]]
    if len(flips) > most:
        rest = sum(n for _, n in flips[most:])
        rows.append((f"{len(flips) - most:,} others", f"{rest:,}", f"{_percent(rest / found.rows)}"))
    return [("flip", "rows", "share"), *rows]


def examples(difference: Difference, most: int = _MOST_EXAMPLES) -> Table:
    """Return the rows that differ most, by id where one is kept, and by shard and number of the row."""
    id_name = difference.id_column
    rows = [
        (
            *([shown_id(difference.ids.get((each.shard, each.row), ""))] if id_name else []),
            each.shard,
            f"{each.row:,}",
            "flips" if each.flipped else "",
            in_digits(each.difference) if each.difference else "",
        )
        for each in difference.comparison.examples[:most]
    ]
    return [(*([id_name] if id_name else []), "shard", "row", "label", "difference"), *rows]


def _aligned(table: Sequence[Sequence[str]]) -> list[str]:
    shown = [[printable(shortened(cell, _LONGEST_NAME)) for cell in row] for row in table]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    numbers = [all(map(_is_number, column[1:])) for column in zip(*shown, strict=True)]
    return [
        "  "
        + "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numbers, strict=True)
        ).rstrip()
        for row in shown
    ]


def _percent(share: float) -> str:
    return f"{share * 100:.3g}%"


def _is_number(cell: str) -> bool:
    return bool(re.fullmatch(r"|[\d,.]+(e-\d+)?%?", cell))
