"""How a run ended: the closing line, and its record as JSON beside the output."""

import contextlib
import datetime as dt
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pipeline_lib.errors import BusyError, NightscoreError
from pipeline_lib.execution.executor import Work
from pipeline_lib.machine.library_versions import library_versions
from pipeline_lib.messages import count, duration, size
from pipeline_lib.planning.plan import Plan
from pipeline_lib.planning.resume.output_state import read_output, staged_receipts
from pipeline_lib.planning.resume.verification import finished_slices
from pipeline_lib.reporting.attempt import Attempt, summed
from pipeline_lib.storage.records import METRICS, RUNS, Receipt, to_json
from pipeline_lib.storage.store_errors import translated_errors
from pipeline_lib.storage.urls import location_of

_NO_WORK = Work()


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended."""

    status: str
    """PUBLISHED, COMPLETE (it was already), FAILED, or STOPPED (it was asked to end)."""
    version: str
    date: str | None
    rows: int
    scored: int
    """Rows with a score in published or staged slices; `rejected` counts in the same slices."""
    rejected: int
    rows_this_run: int
    """Rows that this attempt scored or rejected; earlier attempts did the others."""
    seconds: float
    peak_bytes: dict[str, list[int]] = field(default_factory=dict)
    """See `Work`, also for the next two."""
    scoring_seconds: float = 0.0
    busy: dict[str, float] = field(default_factory=dict)
    slices: int = 0
    staged_slices: int = 0
    """Slices with finished files, whichever attempt scored them."""
    labels: dict[str, int] | None = None
    """Scored rows by label; None where an earlier release, which did not count them, scored some."""
    reject_codes: dict[str, int] | None = None
    """Rejected rows by reason; None in the same case."""
    error: str | None = None
    exit_code: int = 0

    @property
    def rows_per_second(self) -> float:
        """Rows of this attempt over all of its time, start-up included."""
        return self.rows_this_run / self.seconds if self.seconds else 0.0

    def closing_line(self) -> str:
        """Return the closing line of a run."""
        day = f"ds={self.date} " if self.date else ""
        counts = f"in={self.rows:,} scored={self.scored:,} rejected={self.rejected:,}"
        time = duration(self.seconds)
        if self.status in {"PUBLISHED", "COMPLETE"}:
            share = f"({self.rejected / max(self.rows, 1):.3%})"
            speed = (
                f"{self.rows_per_second:,.0f} rows/s with start-up" if self.rows_this_run else "nothing to score"
            )
            return f"{self.status} {day}{counts} {share} {time} {speed}"
        if not self.version:
            return f"{self.status} {day}before anything was scored {time}"
        return f"{self.status} {day}{counts} staged={self.staged_slices:,} of {count(self.slices, 'slice')} {time}"

    def memory(self) -> str:
        """Return the peak memory of the attempt's processes in words, or nothing where none was measured."""
        if not self.peak_bytes:
            return ""
        roles = (
            f"{role} {f'{len(peaks)} x ' if len(peaks) > 1 else ''}{size(max(peaks))}"
            for role, peaks in self.peak_bytes.items()
        )
        return f"{size(sum(map(sum, self.peak_bytes.values())))} at most ({', '.join(roles)})"

    def pace(self) -> str:
        """Return the speed without start-up, and how busy each stage was, or nothing where nothing was scored."""
        if not self.scoring_seconds:
            return ""
        shares = ", ".join(f"{role} {share:.0%}" for role, share in self.busy.items())
        rate = self.rows_this_run / self.scoring_seconds
        return f"{rate:,.0f} rows/s while scoring, without start-up (busy: {shares})"


def report(attempt: Attempt, plan: Plan, work: Work = _NO_WORK) -> Outcome:
    """Record a run that ended well and return how.

    Args:
        attempt: the run, with the receipts of the slices that it scored.
        plan: the run's plan.
        work: memory and time by role.
    """
    receipts = plan.published.slices if plan.complete and plan.published else attempt.staged
    outcome = Outcome(
        **_counted(attempt, receipts),
        status="COMPLETE" if plan.complete else "PUBLISHED",
        version=plan.version,
        rows=plan.rows,
        slices=plan.slices,
        peak_bytes=work.peak_bytes,
        scoring_seconds=round(work.seconds, 3),
        busy={role: round(share, 4) for role, share in work.busy.items()},
    )
    _record(plan, outcome, metrics=not plan.complete)
    return outcome


def failure(attempt: Attempt, error: BaseException) -> Outcome:
    """Return the outcome of an attempt that an error or a signal ended; its staged slices stay."""
    plan = attempt.plan
    return Outcome(
        **_counted(attempt, attempt.staged),
        status="STOPPED" if isinstance(error, KeyboardInterrupt) else "FAILED",
        version=plan.version if plan else "",
        rows=plan.rows if plan else 0,
        slices=plan.slices if plan else 0,
        error=str(error) or "interrupted",
        exit_code=error.exit_code if isinstance(error, NightscoreError) else 1,
    )


def _counted(attempt: Attempt, receipts: Sequence[Receipt]) -> dict[str, Any]:
    return {
        "date": attempt.date.isoformat() if attempt.date else None,
        "scored": sum(receipt.scored for receipt in receipts),
        "rejected": sum(receipt.rejected for receipt in receipts),
        "rows_this_run": sum(receipt.rows for receipt in attempt.receipts),
        "staged_slices": len(receipts),
        "seconds": attempt.seconds,
        "labels": summed(receipt.labels for receipt in receipts),
        "reject_codes": summed(receipt.reject_codes for receipt in receipts),
    }


@contextlib.contextmanager
def failures_reported(attempt: Attempt) -> Iterator[None]:
    """Record a failure of ours, or an interruption, that ends the block, then raise it again."""
    try:
        yield
    except (NightscoreError, KeyboardInterrupt) as error:
        # The user must see the failure itself, also when the storage refuses the record.
        with contextlib.suppress(NightscoreError):
            if attempt.plan:
                if not isinstance(error, BusyError):  # else another run's slices would be counted as ours
                    attempt.receipts += _unreported_receipts(attempt, attempt.plan)
                _record(attempt.plan, failure(attempt, error), metrics=False)
        raise


def _unreported_receipts(attempt: Attempt, plan: Plan) -> list[Receipt]:
    """Return receipts of slices that workers finished but Ray had not yet passed to the driver."""
    known = {(receipt.shard, receipt.first_row) for receipt in attempt.staged}
    output = read_output(plan.settings.output.path)
    staged = staged_receipts(output, plan.version)
    fresh = tuple(receipt for receipt in staged if (receipt.shard, receipt.first_row) not in known)
    whole, _ = finished_slices(output, plan.shards, fresh)
    return list(whole)


def _record(plan: Plan, outcome: Outcome, *, metrics: bool) -> None:
    output = location_of(plan.settings.output.path)
    now = dt.datetime.now(dt.UTC)
    record: dict[str, Any] = {
        **asdict(outcome),
        "rows_per_second": round(outcome.rows_per_second, 1),
        "line": outcome.closing_line(),
        "finished_at": now.isoformat(timespec="seconds"),
        "libraries": library_versions(),
    }
    run = f"{now:%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}"
    with translated_errors(plan.settings.output.path, "recording the run"):
        (output / RUNS / f"{run}.json").write(to_json(record))
        if metrics:
            (output / METRICS).write(to_json(record))
