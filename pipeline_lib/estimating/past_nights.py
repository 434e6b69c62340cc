"""What past nights of an output took, as their `_metrics.json` tell."""

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline_lib.machine.parallel import in_threads
from pipeline_lib.settings.settings import Settings
from pipeline_lib.storage.records import MANIFEST, METRICS, Manifest, parse
from pipeline_lib.storage.store_errors import translated_errors
from pipeline_lib.storage.urls import location_of

NIGHTS = 7


@dataclass(frozen=True)
class PastNight:
    """What a run took that published."""

    url: str
    rows: int
    """That it scored or rejected itself."""
    seconds: float
    """Of all of the run."""
    scoring_seconds: float
    local: bool
    """Whether it worked in one process, without Ray."""
    actors: int
    """Processes that had the model."""
    scored: int = 0
    rejected: int = 0
    """Of all of the night, like the others from here on."""
    reject_codes: Mapping[str, int] = field(default_factory=dict)
    tokens: int | None = None
    truncated: int | None = None
    bytes: int | None = None

    @property
    def start_seconds(self) -> float:
        """The time before and after scoring."""
        return max(self.seconds - self.scoring_seconds, 0.0)


def past_nights(settings: Settings, date: dt.date | None) -> list[PastNight]:
    """Return the past nights that have figures: of the last seven dates, the newest first, or of the output itself.

    Args:
        settings: as read, with `{date}` still in the paths.
        date: of the night to estimate.

    Raises:
        NightscoreError: the storage failed.
    """
    days: Sequence[dt.date | None] = [None]
    if date is not None:
        days = [date - dt.timedelta(days=back) for back in range(NIGHTS + 1)]
    urls = dict.fromkeys(settings.on_date(day).output.path for day in days)  # only the input may have dates
    return [night for night in in_threads(_read, urls) if night]


def _read(url: str) -> PastNight | None:
    folder = location_of(url)
    with translated_errors(url, "looking at a past night"):
        content = (folder / METRICS).read()
        manifest = parse(Manifest, (folder / MANIFEST).read()) if content else None
    try:
        return _night(url, json.loads(content or b""), manifest)
    except (ValueError, KeyError, TypeError, AttributeError):  # none, or of another program
        return None


def _night(url: str, metrics: Any, manifest: Manifest | None) -> PastNight | None:
    peaks = metrics["peak_bytes"]
    night = PastNight(
        url,
        int(metrics["rows_this_run"]),
        float(metrics["seconds"]),
        float(metrics["scoring_seconds"]),
        local=not metrics.get("rows_by_node"),
        actors=max(len(peaks.get("model", [])), 1),
        scored=int(metrics["scored"]),
        rejected=int(metrics["rejected"]),
        reject_codes=dict(metrics.get("reject_codes") or {}),
        tokens=_number(metrics.get("tokens")),
        truncated=_number(metrics.get("truncated")),
        bytes=sum(file.bytes for file in manifest.published_files) if manifest else None,
    )
    return night if night.rows and night.scoring_seconds > 0 else None


def _number(value: Any) -> int | None:
    return value if type(value) is int else None
