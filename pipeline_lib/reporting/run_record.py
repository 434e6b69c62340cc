"""Record how a run ended, as JSON beside the output."""

import contextlib
import datetime as dt
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from pipeline_lib.errors import BusyError, NightscoreError
from pipeline_lib.execution.executor import Work
from pipeline_lib.machine.library_versions import library_versions
from pipeline_lib.planning.plan import Plan
from pipeline_lib.planning.resume.output_state import read_output, staged_receipts
from pipeline_lib.planning.resume.verification import finished_slices
from pipeline_lib.reporting.attempt import Attempt, summed
from pipeline_lib.reporting.outcome import Outcome
from pipeline_lib.storage.records import METRICS, RUNS, Receipt, to_json
from pipeline_lib.storage.store_errors import translated_errors
from pipeline_lib.storage.urls import location_of

_NO_WORK = Work()


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
        rows_by_node=work.rows_by_node,
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
