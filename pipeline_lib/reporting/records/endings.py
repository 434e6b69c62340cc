"""The outcome of an attempt: after it ended well, after an error or a signal, or while it is still working."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pipeline_lib.errors import NightscoreError
from pipeline_lib.execution.executor import Work
from pipeline_lib.machine.library_versions import library_versions
from pipeline_lib.planning.plan import Plan
from pipeline_lib.reporting.attempt import Attempt, summed
from pipeline_lib.reporting.outcome import Outcome
from pipeline_lib.reporting.records.night_metrics import figures
from pipeline_lib.storage.records import Receipt


def ended_well(attempt: Attempt, plan: Plan, work: Work) -> Outcome:
    """Return the outcome of an attempt whose result is published.

    Args:
        attempt: the run, with the receipts of the slices that it scored.
        plan: the run's plan.
        work: memory and time by role.
    """
    accepted = plan.published.accepted if plan.complete and plan.published else attempt.accepted
    receipts = plan.published.slices if plan.complete and plan.published else attempt.staged
    return Outcome(
        **_counted(attempt, receipts),
        status="COMPLETE" if plan.complete else "PUBLISHED",
        version=plan.version,
        rows=plan.rows,
        slices=plan.slices,
        files=len(plan.published.published) if plan.complete and plan.published else attempt.files,
        accepted_gates=list(accepted.gates) if accepted else [],
        peak_bytes=work.peak_bytes,
        scoring_seconds=round(work.seconds, 3),
        busy={role: round(share, 4) for role, share in work.busy.items()},
        model_loads=work.model_loads,
        rows_by_node=work.rows_by_node,
    )


def ended_badly(attempt: Attempt, error: BaseException) -> Outcome:
    """Return the outcome of an attempt that an error or a signal ended; its staged slices stay."""
    is_stopped, is_ours = isinstance(error, KeyboardInterrupt), isinstance(error, NightscoreError)
    # The message of a bug may quote a text.
    unexpected = f"a bug, or a fault that is not known: {type(error).__name__}; the output of the run has more"
    return Outcome(
        **_planned(attempt),
        status="STOPPED" if is_stopped else "FAILED",
        error=(str(error) or "interrupted") if is_stopped or is_ours else unexpected,
        exit_code=error.exit_code if isinstance(error, NightscoreError) else 1,
    )


def together(outcomes: Sequence[Outcome], exit_code: int, seconds: float) -> Outcome:
    """Return the outcome of several nights as if they were one run.

    Args:
        outcomes: of the nights that were worked on.
        exit_code: of the whole.
        seconds: of the whole.
    """
    peaks = [sum(map(sum, each.peak_bytes.values())) for each in outcomes]
    is_new = any(each.status == "PUBLISHED" for each in outcomes)
    return Outcome(
        status="FAILED" if exit_code else "PUBLISHED" if is_new else "COMPLETE",
        # Nights may have different ones; it says that something was planned.
        version=next((each.version for each in outcomes if each.version), ""),
        date=None,
        rows=sum(each.rows for each in outcomes),
        scored=sum(each.scored for each in outcomes),
        rejected=sum(each.rejected for each in outcomes),
        rows_this_run=sum(each.rows_this_run for each in outcomes),
        seconds=seconds,
        peak_bytes={"all": [max(peaks)]} if any(peaks) else {},
        exit_code=exit_code,
    )


def unfinished(attempt: Attempt) -> Outcome:
    """Return how far an attempt has got that is still working."""
    planned = _planned(attempt)
    rows = max(planned.pop("rows_this_run"), attempt.rows_done)
    return Outcome(**planned, rows_this_run=rows, status="RUNNING")


def _planned(attempt: Attempt) -> dict[str, Any]:
    plan = attempt.plan
    return {
        **_counted(attempt, attempt.staged),
        "version": plan.version if plan else "",
        "rows": plan.rows if plan else 0,
        "slices": plan.slices if plan else 0,
    }


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
        **figures(attempt.night),
    }


def told_of(outcome: Outcome) -> dict[str, Any]:
    """Return what record and metrics tell of an outcome."""
    is_over = outcome.status != "RUNNING"
    return {
        **asdict(outcome),
        "rows_per_second": round(outcome.rows_per_second, 1),
        "line": outcome.closing_line() if is_over else None,
        "finished_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds") if is_over else None,
        "libraries": library_versions(),
    }
