"""Estimates, kept in this user's cache: the run that was estimated is set against them."""

import contextlib
import hashlib
import json
from typing import Any

from pipeline_lib.errors import NightscoreError
from pipeline_lib.estimating.estimate import Estimate
from pipeline_lib.machine.cache_folders import cache_folder, read_own, write_own
from pipeline_lib.messages import duration
from pipeline_lib.storage.records import to_json


def keep(url: str, version: str, estimate: Estimate) -> None:
    """Keep the estimate of a version of an output; a home that can't be written is no failure.

    Args:
        url: the folder of the output.
        version: that the run will make.
        estimate: of the run.
    """
    with contextlib.suppress(OSError, NightscoreError):
        write_own(cache_folder("estimates") / _name(url, version), to_json(estimate.to_json()))


def kept_estimate(url: str, version: str) -> dict[str, Any] | None:
    """Return the estimate of a version of an output as JSON values, or None if there is none on this machine."""
    with contextlib.suppress(OSError, NightscoreError, ValueError):
        kept = json.loads(read_own(cache_folder("estimates") / _name(url, version)))
        if isinstance(kept, dict):
            return kept
    return None


def against(estimate: dict[str, Any], rows: int, seconds: float, scoring_seconds: float) -> str:
    """Return an estimate beside what came of it, in words; nothing where the run had other rows to score.

    Args:
        estimate: as it was kept.
        rows: that the run scored or rejected.
        seconds: of all of the run.
        scoring_seconds: from the first slice's start to the last one's end.
    """
    try:
        if estimate["rows"] != rows or not rows or not seconds or not scoring_seconds:
            return ""
        whole, pace = estimate["seconds"], estimate["rows_per_second"]
        return (
            f"{duration(whole['value'])} estimated ({duration(whole['low'])} to {duration(whole['high'])}), "
            f"{duration(seconds)} taken ({whole['value'] / seconds - 1:+.0%}); {pace['value']:,.0f} rows/s "
            f"estimated while scoring, {rows / scoring_seconds:,.0f} reached"
        )
    except (KeyError, TypeError, ValueError):  # of another release
        return ""


def _name(url: str, version: str) -> str:
    return f"{hashlib.sha256(repr((url.rstrip('/'), version)).encode()).hexdigest()[:32]}.json"
