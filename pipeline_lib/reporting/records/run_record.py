"""The record of a run: a file in `_runs/` that says how an attempt is going, and how it ended."""

import datetime as dt
import re
import uuid
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline_lib.errors import BusyError
from pipeline_lib.storage.location import Location
from pipeline_lib.storage.records import RUNS, Accepted, Success

RUNNING = "RUNNING"
"""The status of a record that has no end yet."""
MOST_RECORDS = 50
"""A run removes older ones than these."""

_NAME = re.compile(r"(\d{8}T\d{6})(?:\.(\d{6}))?Z-[0-9a-f]{8}\.json")


class _Record(BaseModel):
    # Records of earlier and later releases have other keys.
    model_config = ConfigDict(extra="ignore", frozen=True)


class Provenance(_Record):
    """What a result is made from; see `planning.provenance`. None where it is not known."""

    settings: dict[str, Any] | None = None
    checkpoint: str | None = None
    input_stamp: str | None = None
    shards: int | None = None


class PublishedResult(_Record):
    """What readers of an output see."""

    version: str
    rows: int
    scored: int
    rejected: int
    manifest_sha256: str
    finished_at: str | None = None
    """When a run published it, as far as records tell."""
    seconds: float | None = None
    """How long that run took."""
    model: str | None = None
    commit: str | None = None
    model_sha256: str | None = None
    """The fingerprint of the checkpoint's files."""
    accepted: Accepted | None = None
    made_from: Provenance = Provenance()

    @classmethod
    def of(cls, success: Success, **known: Any) -> "PublishedResult":
        """Return the result that a mark of completeness stands for, with what else is known about it."""
        counts = success.model_dump(include={"version", "rows", "scored", "rejected", "manifest_sha256"})
        return cls(**counts, **known)


class RunRecord(_Record):
    """An attempt of the job, as far as it got; all but the status may be missing in records of earlier releases."""

    status: str
    """RUNNING, PUBLISHED, COMPLETE, FAILED, or STOPPED by a signal."""
    date: str | None = None
    attempt: int = 1
    """Counts the runs of this output."""
    host: str = ""
    pid: int = 0
    process: str | None = None
    """As in the lease."""
    started_at: str | None = None
    updated_at: str | None = None
    """When the record was written; every few seconds while the run lives."""
    finished_at: str | None = None
    beat: int = 0
    """Counts how often the record was written."""
    phase: str = ""
    """What the run was doing, in words."""
    exit_code: int | None = None
    error: str | None = None
    gate: str | None = None
    """The gate that stopped the result, or several with commas between."""
    accepted: Accepted | None = None
    """The words of `--accept`; its gates are empty where none had stopped the result."""
    version: str = ""
    rows: int = 0
    scored: int = 0
    """As in `Outcome`, also the next four."""
    rejected: int = 0
    rows_this_run: int = 0
    slices: int = 0
    staged_slices: int = 0
    seconds: float = 0.0
    made_from: Provenance = Provenance()
    """What this run was given."""
    published: PublishedResult | None = None
    """What readers saw when the record was written."""

    @property
    def is_over(self) -> bool:
        """Whether the run has ended."""
        return self.status != RUNNING


def parse_run(content: bytes | None) -> RunRecord | None:
    """Return a record from its JSON, or None if that is missing or something else."""
    if content is None:
        return None
    try:
        return RunRecord.model_validate_json(content)
    except ValidationError:
        return None


def read_run(output: Location, name: str) -> RunRecord | None:
    """Return a record of an output by its name, or None if there is no such record.

    Raises:
        OSError: the file can't be read, or is a link or a device.
    """
    return parse_run((output / RUNS / name).read())


def newest_run(output: Location, names: Iterable[str]) -> RunRecord | None:
    """Return the newest record of an output that did not only find another run at work, or None.

    Args:
        output: the folder of the output.
        names: of its records, the newest first.

    Raises:
        OSError: a file can't be read, or is a link or a device.
    """
    for name in names:
        record = read_run(output, name)
        if record and record.exit_code != BusyError.exit_code:
            return record
    return None


def record_names(files: Iterable[str]) -> list[str]:
    """Return the names of the records among the files of an output, the newest first.

    >>> record_names(["_SUCCESS", "_runs/20261122T010203Z-0a1b2c3d.json", "_runs/note.txt"])
    ['20261122T010203Z-0a1b2c3d.json']
    """
    names = (name.removeprefix(f"{RUNS}/") for name in files if name.startswith(f"{RUNS}/"))
    return sorted((name for name in names if _NAME.fullmatch(name)), reverse=True)


def new_record_name(now: dt.datetime, newest: str | None) -> str:
    """Return a name that sorts after all others, also if the clock of another machine is ahead.

    Args:
        now: in UTC.
        newest: the name that sorts last so far.
    """
    found = _NAME.fullmatch(newest) if newest else None
    if found:
        try:
            last = dt.datetime.strptime(found[1], "%Y%m%dT%H%M%S").replace(tzinfo=dt.UTC)
            # A record of an earlier release has no fraction, and sorts after all of its second.
            last += dt.timedelta(microseconds=int(found[2]) + 1) if found[2] else dt.timedelta(seconds=1)
            now = max(now, last)
        except (ValueError, OverflowError):  # a name that no run gave
            pass
    return f"{now:%Y%m%dT%H%M%S.%f}Z-{uuid.uuid4().hex[:8]}.json"
