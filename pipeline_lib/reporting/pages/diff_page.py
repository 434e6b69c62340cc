"""The page of two outputs of the same rows: what flips between them, and how far their scores differ."""

from dataclasses import dataclass
from typing import Any

from pipeline_lib.comparing.difference import Difference
from pipeline_lib.comparing.published import Published
from pipeline_lib.comparing.words import by_label, by_shard, examples
from pipeline_lib.reporting.pages.drawing.chart import Chart, chart_of
from pipeline_lib.reporting.pages.drawing.columns import Column, columns_of
from pipeline_lib.reporting.pages.rendering import percent, rendered
from pipeline_lib.reporting.pages.sections.verdict import Headline, Kind
from pipeline_lib.storage.store_errors import translated_errors
from pipeline_lib.storage.urls import location_of

_MOST_SHARDS = 50
_MOST_FLIPS = 40


@dataclass(frozen=True)
class _Picture:
    chart: Chart
    columns: list[Column]


def write_diff_page(difference: Difference, max_flips: int | None, target: str) -> str:
    """Write the page of a comparison, and return where it is.

    Args:
        difference: of two outputs.
        max_flips: the largest number of flips that is right; None where any is.
        target: the file to write.

    Raises:
        NightscoreError: it can't be written.
    """
    page = location_of(target)
    html = diff_page(difference, max_flips)
    with translated_errors(page.url, "writing the page"):
        page.write(html)
    return page.url


def diff_page(difference: Difference, max_flips: int | None = None) -> bytes:
    """Return the page of a comparison as HTML."""
    found = difference.comparison
    columns = columns_of(found.differences, None)
    return rendered(
        "diff",
        title="Two outputs of the same rows",
        headline=_headline(difference, max_flips),
        found=found,
        share=found.flips / found.rows if found.rows else 0.0,
        facts=_facts(difference.first, difference.second),
        flips=by_label(difference, _MOST_FLIPS),
        flip_bars=_flip_bars(difference),
        shards=by_shard(difference, _MOST_SHARDS),
        examples=examples(difference, len(found.examples)),
        differences=_Picture(chart_of(columns), columns) if columns else None,
    )


def _headline(difference: Difference, max_flips: int | None) -> Headline:
    flips = difference.comparison.flips
    is_over = max_flips is not None and flips > max_flips
    why = (("--max-flips", f"{flips:,} flips are more than {max_flips:,}"),) if is_over else ()
    kind: Kind = "bad" if is_over else "warn" if flips else "good"
    return Headline(kind, difference.line, why, notes=difference.notes)


def _flip_bars(difference: Difference) -> list[float]:
    """Return the share of the rows of the first label that flips, for each line of `by_label` that is a flip."""
    found = difference.comparison
    flips = sorted(
        ((pair, rows) for pair, rows in found.labels.items() if pair[0] != pair[1]),
        key=lambda item: (-item[1], item[0]),
    )
    of_label: dict[str, int] = {}
    for (label, _), rows in found.labels.items():
        of_label[label] = of_label.get(label, 0) + rows
    return [rows / of_label[pair[0]] for pair, rows in flips[:_MOST_FLIPS]]


def _facts(first: Published, second: Published) -> list[tuple[str, str, str]]:
    """Return what tells the outputs apart: a name and the values of both."""
    facts = [("Folder", first.url, second.url)]
    names = {"Model": "name", "Commit": "commit", "Precision": "precision", "Activation": "activation"}
    for name, key in names.items():
        facts.append((name, _text(first.manifest.model.get(key)), _text(second.manifest.model.get(key))))
    facts.append(("Labels", ", ".join(first.labels), ", ".join(second.labels)))
    facts.append(("Version", first.manifest.version, second.manifest.version))
    facts.append(("Rows", f"{first.manifest.rows:,}", f"{second.manifest.rows:,}"))
    facts.append(("With a score", _scored(first), _scored(second)))
    return facts


def _scored(output: Published) -> str:
    rows, scored = output.manifest.rows, output.manifest.scored
    return f"{scored:,} ({percent(scored / rows if rows else None)})"


def _text(value: Any) -> str:
    return "" if value is None else str(value)
