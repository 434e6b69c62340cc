"""Whether runs whose records have no end are still at work."""

import datetime as dt
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline_lib.machine.parallel import in_threads
from pipeline_lib.machine.processes import identity
from pipeline_lib.reporting.records.recording import SECONDS_BETWEEN_BEATS
from pipeline_lib.reporting.records.run_record import RunRecord, newest_run
from pipeline_lib.storage.location import Location

_FRESH_SECONDS = 2 * SECONDS_BETWEEN_BEATS
_WAIT_SECONDS = SECONDS_BETWEEN_BEATS + 5.0
# No two clocks differ by more.
_DEAD_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class NewestRun:
    """The newest record of an output, and whether its run is at work."""

    record: RunRecord | None
    is_alive: bool = False


def newest_runs(folders: Sequence[tuple[Location, Sequence[str]]], now: dt.datetime) -> list[NewestRun]:
    """Return the newest run of each output, by one small read for each.

    A run of this machine lives if its process does. One of another machine, whose clock may be wrong, lives if its
    record is written again: if the record is older than two beats, it is read once more after a beat.

    Args:
        folders: output folders with the names of the records in each, the newest first.
        now: the time in UTC.

    Raises:
        OSError: a record can't be read.
    """
    first = list(in_threads(lambda item: newest_run(*item), folders))
    known = [_is_alive(record, now) for record in first]
    unknown = [at for at, alive in enumerate(known) if alive is None]
    if unknown:
        time.sleep(_WAIT_SECONDS)
    again = in_threads(lambda at: newest_run(*folders[at]), unknown)
    latest = dict(zip(unknown, again, strict=True))
    runs = []
    for at, record in enumerate(first):
        new = latest.get(at, record)
        alive = known[at] if at not in latest else bool(new and not new.is_over and new != record)
        runs.append(NewestRun(new, bool(alive)))
    return runs


def _is_alive(record: RunRecord | None, now: dt.datetime) -> bool | None:
    """Return whether the run of a record is at work, or None if only the record's next beat can tell."""
    if record is None or record.is_over:
        return False
    here = identity(os.getpid())
    if record.process and here and record.process.partition("/")[0] == here.partition("/")[0]:
        return identity(record.pid) == record.process
    try:
        age = abs((now - dt.datetime.fromisoformat(record.updated_at or "")).total_seconds())
    except (ValueError, TypeError):  # written by something else
        return False
    if age <= _FRESH_SECONDS:
        return True
    return None if age < _DEAD_SECONDS else False
