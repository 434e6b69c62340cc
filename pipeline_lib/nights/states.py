"""The state of a night, decided from its newest record, its files and its input."""

import datetime as dt
from dataclasses import dataclass
from typing import Any

from pipeline_lib.errors import BusyError, GateError, InputNotReadyError
from pipeline_lib.messages import count
from pipeline_lib.nights.listing import NightInput
from pipeline_lib.nights.night import Night, State
from pipeline_lib.nights.staleness import Present
from pipeline_lib.reporting.records.run_record import PublishedResult, RunRecord
from pipeline_lib.storage.records import Success


@dataclass(frozen=True)
class Facts:
    """All that is known about a night."""

    date: dt.date | None
    record: RunRecord | None
    is_alive: bool
    """Whether the run of the record is at work."""
    has_success: bool
    """Whether the output has a mark of completeness."""
    success: Success | None
    """Its content, if that was read since the record alone does not tell what is published."""
    input: NightInput


def needs_success(record: RunRecord | None) -> bool:
    """Tell whether the record of a published output does not say what is published now."""
    if record is None or not record.is_over:
        return True
    return record.published is None and record.status not in {"PUBLISHED", "COMPLETE"}


def night_of(facts: Facts, present: Present) -> Night:
    """Return a night with its state."""
    published = _published(facts)
    changes = present.changes(published, facts.input) if published else []
    # A run of another version that failed tells nothing about this one.
    is_relevant = published is None or facts.record is None or present.has_settings_of(facts.record.made_from)
    state, reason = _state(facts, published, changes, is_relevant=is_relevant)
    known = _of_result(published, facts.record) if published else _of_run(facts.record)
    record = facts.record
    if record is None:
        return Night(facts.date, state, reason, **known)
    return Night(
        facts.date,
        state,
        reason,
        **known,
        exit_code=record.exit_code,
        started_at=record.started_at,
        gate=record.gate if state == "held" else None,
        attempt=record.attempt,
        host=record.host or None,
    )


def _published(facts: Facts) -> PublishedResult | None:
    """Return what readers see, as far as it is known."""
    record, success = facts.record, facts.success
    if not facts.has_success:
        return None
    told = record.published if record else None
    if success and (told is None or told.manifest_sha256 != success.manifest_sha256):
        told = PublishedResult.of(success)
        if record and record.version == success.version:  # it was killed after it had published
            told = told.model_copy(update={"made_from": record.made_from, "finished_at": record.updated_at})
    if told is None and record:  # of an earlier release, which recorded less
        told = PublishedResult(
            **record.model_dump(include={"version", "rows", "scored", "rejected", "finished_at"}),
            manifest_sha256="",
        )
    return told


def _state(
    facts: Facts, published: PublishedResult | None, changes: list[str], *, is_relevant: bool
) -> tuple[State, str]:
    record, current = facts.record, published is not None and not changes
    if current:
        accepted = published.accepted if published else None
        return "published", f"accepted: {accepted.why}" if accepted else ""
    if record is None:
        return ("stale", "; ".join(changes)) if published else _never_run(facts)
    if facts.is_alive:
        return "running", _how_far(record)
    if record.status == "FAILED" and record.exit_code == GateError.exit_code and is_relevant:
        return "held", record.error or ""
    if published:
        failed = f"the last run failed: {record.error}" if record.status == "FAILED" and is_relevant else ""
        return "stale", "; ".join([*changes, *filter(None, [failed])])
    return _unpublished(facts, record)


def _unpublished(facts: Facts, record: RunRecord) -> tuple[State, str]:
    if record.exit_code == InputNotReadyError.exit_code:
        return _never_run(facts)
    if record.status == "FAILED" and record.exit_code != BusyError.exit_code:
        return "failed", record.error or ""
    if record.status in {"PUBLISHED", "COMPLETE"}:
        return "missing", "it was published, but _SUCCESS is gone"
    reason = record.error if record.is_over else f"its record has no end; it was {record.phase or 'starting'}"
    return "interrupted", f"{reason}; {_done(record)}"


def _never_run(facts: Facts) -> tuple[State, str]:
    if facts.input.error:
        return "missing", facts.input.error
    return ("missing", "") if facts.input.shards else ("no_input", "")


def _how_far(record: RunRecord) -> str:
    since = (record.started_at or "?").replace("T", " ").removesuffix("+00:00")
    return f"since {since} UTC on {record.host}: {record.phase}; {_done(record)}"


def _done(record: RunRecord) -> str:
    """Return how far a run got; rows of unfinished slices count for the run that scored them."""
    if not record.rows:
        return "no rows are known yet"
    done = max(record.scored + record.rejected, record.rows_this_run)
    return f"{done:,} of {count(record.rows, 'row')} ({done / record.rows:.0%})"


def _of_result(published: PublishedResult, record: RunRecord | None) -> dict[str, Any]:
    is_of_record = record is not None and record.status == "PUBLISHED"
    return {
        **published.model_dump(include={"version", "rows", "scored", "rejected", "finished_at", "model", "commit"}),
        "seconds": published.seconds or (record.seconds if record and is_of_record else None),
        "accepted": published.accepted.why if published.accepted else None,
    }


def _of_run(record: RunRecord | None) -> dict[str, Any]:
    if record is None:
        return {}
    # Before its plan a run knows nothing of the rows.
    known = {"version", "rows", "scored", "rejected"} if record.version else set()
    return record.model_dump(include={*known, "finished_at", "seconds"})
