"""Drift: whether the scores of a night are like those of accepted nights, without alarms where only chance differs.

Scores are compared by the population stability index, shares by the interval of their difference. Both are judged
by what is certain of them: the end of the interval that is nearer to no change. P-values are of no use here,
since with a million rows every two nights differ significantly.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from pipeline_lib.statistics.drift.proportions import certain_difference, critical_value
from pipeline_lib.statistics.drift.stability_index import design_effect, stability_index
from pipeline_lib.statistics.drift.verdicts import LABEL_DRIFT, SCORE_DRIFT, DriftLimits, Limit, Measure, Verdict
from pipeline_lib.statistics.histogram import Counts, Histogram, quantile_cuts
from pipeline_lib.statistics.row_statistics import RowStatistics

MIN_ROWS = 300
"""Rows of a night below which nothing is evaluated."""

MIN_REFERENCE_ROWS = 1000
"""Rows of all reference nights together below which nothing is evaluated."""

FEW_NIGHTS = 3
"""Nights below which it is not known how much nights differ, so that twice the drift is needed for a verdict.

With one reference night even twice the limits failed 8% of quiet nights, where nights of 100,000 rows differ by an
index of 0.05; `python -m jobs.bench.drift_alarms` shows it.
"""

_SHARE_DRIFT = 0.05


def measured_drift(
    night: RowStatistics,
    reference: Sequence[RowStatistics],
    limits: DriftLimits,
    peers: Sequence[RowStatistics] = (),
) -> list[Measure]:
    """Compare a night with reference nights.

    Scores and label shares can fail; token lengths and the other shares only warn. Limits are doubled while there
    are fewer than `FEW_NIGHTS` peers.

    Args:
        night: its statistics.
        reference: accepted nights of the same model and settings, which are pooled.
        limits: of the settings.
        peers: accepted nights from which the design effect is measured; the reference nights if empty.
    """
    comparison = _Comparison(night, tuple(reference), tuple(peers) or tuple(reference))
    return [*_score_drift(comparison, limits), *_label_drift(comparison, limits), *_watched(comparison)]


@dataclass(frozen=True)
class _Comparison:
    night: RowStatistics
    reference: tuple[RowStatistics, ...]
    peers: tuple[RowStatistics, ...]

    def histograms(self, of: str, get: Callable[[RowStatistics], Histogram | None], limit: Limit) -> Measure:
        """Compare a histogram of each night by the stability index, in bins that the reference decides."""
        empty = Histogram.empty(self.night.bins)
        own = get(self.night) or empty
        others = [histogram for histogram in map(get, self.reference) if histogram]
        pool = sum(others[1:], others[0]) if others else empty
        if own.total < MIN_ROWS or pool.total < MIN_REFERENCE_ROWS:
            return Measure(of, Verdict.NOT_EVALUATED, own.total, pool.total)
        limit = self._limit(limit)
        cuts = quantile_cuts(pool)
        effect = design_effect([histogram.merged(cuts) for histogram in map(get, self.peers) if histogram])
        found = stability_index(own.merged(cuts), pool.merged(cuts), effect)
        return Measure(
            of=of,
            verdict=limit.verdict(found.lower_bound),
            rows=own.total,
            reference_rows=pool.total,
            drift=found.adjusted,
            certain=max(0.0, found.lower_bound),
            warn_above=limit.warn,
            fail_above=limit.fail,
            design_effect=effect,
        )

    def shares(
        self, name: str, get: Callable[[RowStatistics], Mapping[str, tuple[int, int]]], limit: Limit
    ) -> Iterator[Measure]:
        """Compare shares that were counted of the same rows, each by the interval of its difference.

        Args:
            name: what the share of each key is called, with `{}` in the place of the key.
            get: counts and rows by key.
            limit: of the certain difference.
        """
        counted = [get(statistics) for statistics in (self.night, *self.reference)]
        keys = sorted({key for counts in counted for key in counts})
        z = critical_value(len(keys))
        for key in keys:
            yield self._share(name.format(key), partial(_of_key, get, key), z, limit)

    def _share(
        self, of: str, get: Callable[[RowStatistics], tuple[int, int] | None], z: float, limit: Limit
    ) -> Measure:
        count, rows = get(self.night) or (0, self.night.scored)
        pool = _pair(self.reference, get).sum(axis=0) if self.reference else np.zeros(2, np.int64)
        reference_rows = int(pool.sum())
        # A share may be known of a sample of the scored rows only, which its interval allows for.
        scored = sum(night.scored for night in self.reference)
        too_few = max(rows, self.night.scored) < MIN_ROWS or max(reference_rows, scored) < MIN_REFERENCE_ROWS
        if too_few or not (rows and reference_rows):
            return Measure(of, Verdict.NOT_EVALUATED, rows, reference_rows)
        limit = self._limit(limit)
        effect = design_effect(list(_pair(self.peers, get)))
        share, other = count / rows, int(pool[0]) / reference_rows
        certain = certain_difference(share, rows / effect, other, reference_rows / effect, z)
        return Measure(
            of=of,
            verdict=limit.verdict(certain),
            rows=rows,
            reference_rows=reference_rows,
            night=share,
            reference=other,
            drift=share - other,
            certain=certain,
            warn_above=limit.warn,
            fail_above=limit.fail,
            design_effect=effect,
        )

    def _limit(self, limit: Limit) -> Limit:
        return limit if len(self.peers) >= FEW_NIGHTS else limit.doubled()


def _pair(nights: Sequence[RowStatistics], get: Callable[[RowStatistics], tuple[int, int] | None]) -> Counts:
    """Return for each night the rows that have a property, and those that do not."""
    pairs = [get(night) or (0, night.scored) for night in nights]
    return np.array([(count, rows - count) for count, rows in pairs], np.int64)


def _score_drift(comparison: _Comparison, limits: DriftLimits) -> Iterator[Measure]:
    most = limits.max_score_drift
    limit = Limit((SCORE_DRIFT if most is None else most) / 2, most)
    yield comparison.histograms("scores", lambda rows: rows.top_scores, limit)
    for label in sorted({label for rows in comparison.reference for label in rows.label_scores}):
        yield comparison.histograms(f"scores of {label}", partial(_label_scores, label), limit)
    for label in sorted({label for rows in comparison.reference for label in rows.all_scores}):
        yield comparison.histograms(f"scores of {label} in all rows", partial(_all_scores, label), limit)


def _label_drift(comparison: _Comparison, limits: DriftLimits) -> Iterator[Measure]:
    most = limits.max_label_drift
    limit = Limit((LABEL_DRIFT if most is None else most) * 0.4, most)
    yield from comparison.shares("share of {}", _label_counts, limit)


def _watched(comparison: _Comparison) -> Iterator[Measure]:
    """Compare what can explain a drift but is no reason to hold a night."""
    yield comparison.histograms("tokens", lambda rows: rows.tokens, Limit(SCORE_DRIFT / 2, None))
    yield from comparison.shares("{}", _watched_counts, Limit(_SHARE_DRIFT, None))


def _label_scores(label: str, rows: RowStatistics) -> Histogram | None:
    return rows.label_scores.get(label)


def _all_scores(label: str, rows: RowStatistics) -> Histogram | None:
    return rows.all_scores.get(label)


def _of_key(
    get: Callable[[RowStatistics], Mapping[str, tuple[int, int]]], key: str, rows: RowStatistics
) -> tuple[int, int] | None:
    return get(rows).get(key)


def _label_counts(rows: RowStatistics) -> dict[str, tuple[int, int]]:
    return {label: (count, rows.scored) for label, count in rows.labels.items()}


def _watched_counts(rows: RowStatistics) -> dict[str, tuple[int, int]]:
    rejected = sum(rows.rejected.values())
    return {
        "truncated": (rows.truncated, rows.scored),
        "near the boundary": (rows.near_boundary, rows.scored),
        "duplicates": (rows.texts.repeated_rows, rows.texts.sampled_rows),
        "rejected": (rejected, rejected + rows.scored),
    }
