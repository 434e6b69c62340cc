"""How often the drift gate raises a false alarm, and how often it misses a change.

    python -m jobs.bench.drift_alarms

No model and no rows are needed: nights are drawn from distributions of scores, so that the change is known.
"""

from collections.abc import Callable, Iterator
from typing import Annotated

import numpy as np
import typer

from jobs.bench.simulated_nights import (
    PILED,
    SPREAD,
    Shares,
    drawn,
    night_of,
    population,
    population_of,
    strength_of,
    tilted,
)
from pipeline_lib.statistics.drift.measures import measured_drift
from pipeline_lib.statistics.drift.stability_index import raw_index, stability_index
from pipeline_lib.statistics.drift.verdicts import SCORE_DRIFT, DriftLimits, Verdict, worst
from pipeline_lib.statistics.histogram import quantile_cuts

SIZES = (50, 100, 300, 1000, 3000, 10_000, 100_000)
CHANGES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)
NIGHTS = (1, 2, 4, 7)
VARIATIONS = (0.0, 0.01, 0.05, 0.1)
_WARN = SCORE_DRIFT / 2


def index_rows(shares: Shares, draws: int, random: np.random.Generator) -> Iterator[list[str]]:
    """Yield a line for each size and change: how often the index alone, and its lower bound, exceed the limits."""
    for size in SIZES:
        for change in CHANGES:
            other = tilted(shares, strength_of(shares, change))
            plain, lower = [], []
            for _ in range(draws):
                reference, night = drawn(shares, size, random), drawn(other, size, random)
                cuts = quantile_cuts(reference)
                pair = night.merged(cuts), reference.merged(cuts)
                plain.append(raw_index(*pair))
                lower.append(stability_index(*pair).lower_bound)
            yield [
                f"{size:,}",
                f"{change:g}",
                f"{np.mean(plain):.3f}",
                *(_percent(np.mean(np.array(plain) > limit)) for limit in (_WARN, SCORE_DRIFT)),
                *(_percent(np.mean(np.array(lower) > limit)) for limit in (_WARN, SCORE_DRIFT)),
            ]


def gate_rows(shares: Shares, draws: int, random: np.random.Generator) -> Iterator[list[str]]:
    """Yield a line for each variation of nights and size of the reference: how often the gate warns and fails."""
    for variation in VARIATIONS:
        # Two nights differ by the root of two times the deviation of each.
        deviation = strength_of(shares, variation) / 2**0.5
        for nights in NIGHTS:
            for rows in (1000, 100_000):
                found: dict[str, list[Verdict]] = {"quiet": [], "moved": [], "reversed": []}
                for _ in range(draws):
                    strengths = random.normal(0, deviation, nights + 1)
                    *reference, usual = (tilted(shares, strength) for strength in strengths)
                    before = [night_of(drawn(night, rows, random)) for night in reference]
                    moved = tilted(usual, strength_of(shares, 0.5))
                    for name, night in (("quiet", usual), ("moved", moved), ("reversed", usual[::-1])):
                        sample = night_of(drawn(night, rows, random))
                        found[name].append(worst(measured_drift(sample, before, DriftLimits())))
                yield [
                    f"{variation:g}",
                    f"{nights}",
                    f"{rows:,}",
                    *(
                        _percent(np.mean([verdict is of for verdict in found[name]]))
                        for name in found
                        for of in (Verdict.WARNED, Verdict.FAILED)
                    ),
                ]


def _percent(share: float | np.floating) -> str:
    return f"{100 * float(share):.3g}%"


def _table(title: str, columns: list[str], rows: Iterator[list[str]]) -> None:
    print(f"\n{title}\n\n| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)


def alarms(
    scored: Annotated[str | None, typer.Option(help="Published output of two labels to draw from.")] = None,
    draws: Annotated[int, typer.Option(min=10, help="Random pairs of nights for each line.")] = 500,
    seed: Annotated[int, typer.Option(help="Of the random numbers.")] = 1,
) -> None:
    """Print both tables for each distribution of scores."""
    sources: dict[str, Callable[[], Shares]] = {
        "piled": lambda: population(PILED),
        "spread": lambda: population(SPREAD),
    }
    if scored:
        sources = {scored: lambda: population_of(scored)}
    for name, source in sources.items():
        shares = source()
        random = np.random.default_rng(seed)
        columns = ["rows of each", "true index", "mean index", "index > 0.1", "index > 0.2", "warned", "failed"]
        _table(f"Index of two samples, {name}", columns, index_rows(shares, draws, random))
        columns = ["index between nights", "reference nights", "rows of each", "quiet: warned", "quiet: failed"]
        columns += ["moved: warned", "moved: failed", "reversed: warned", "reversed: failed"]
        _table(f"The gate, {name}", columns, gate_rows(shares, max(draws // 10, 10), random))


if __name__ == "__main__":
    typer.run(alarms)
