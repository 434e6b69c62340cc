"""What `_metrics.json` tells about the rows of a night, besides what its run record tells."""

import contextlib
import json
from typing import Any

from pipeline_lib.estimating.kept import kept_estimate
from pipeline_lib.planning.plan import Plan
from pipeline_lib.planning.version import score_version
from pipeline_lib.publishing.manifest import model_of
from pipeline_lib.publishing.night_statistics import NightStatistics
from pipeline_lib.statistics.evaluation import Evaluation
from pipeline_lib.statistics.row_statistics import RowStatistics
from pipeline_lib.storage.location import Location
from pipeline_lib.storage.records import METRICS


def night_metrics(night: NightStatistics, plan: Plan, manifest_sha256: str | None) -> dict[str, Any]:
    """Return the statistics of a night as JSON values.

    Args:
        night: what is counted of it.
        plan: the run's plan.
        manifest_sha256: of the published manifest; None for a night that a gate held.
    """
    return {
        "statistics": night.rows.to_json() if night.rows else None,
        "truth": night.truth.to_json() if night.truth else None,
        "drift": night.drift.to_json() if night.drift else None,
        "model": model_of(plan),
        "score_version": score_version(plan.fingerprint),
        "manifest_sha256": manifest_sha256,
        **_estimated(plan),
    }


def _estimated(plan: Plan) -> dict[str, Any]:
    """Return the estimate of the version, if one was made on this machine."""
    estimate = kept_estimate(plan.settings.output.path, plan.version)
    return {"estimate": estimate} if estimate else {}


def figures(night: NightStatistics | None) -> dict[str, Any]:
    """Return a few figures of a night for people; empty where they are not known."""
    rows = night.rows if night else None
    if rows is None:
        return {}
    mean = rows.mean_score
    return {
        "truncated": rows.truncated,
        "near_boundary": rows.near_boundary,
        "mean_score": None if mean is None else round(mean, 6),
        "tokens": rows.token_sum,
    }


def recorded_night(output: Location, manifest_sha256: str) -> NightStatistics | None:
    """Return what the metrics of a published manifest tell of its rows, or None if they are of another one."""
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
        told = json.loads((output / METRICS).read() or b"null")
        if told["manifest_sha256"] == manifest_sha256:
            rows = told["statistics"] and RowStatistics.from_json(told["statistics"])
            truth = told["truth"] and Evaluation.from_json(told["truth"])
            return NightStatistics(rows=rows, truth=truth)
    return None
