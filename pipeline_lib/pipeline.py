"""The whole job, in the order it happens: plan, score, publish, report.

Scoring is the flow of `execution.steps`: read, tokenize, classify, write. Ray's executor or the local one runs it.
"""

import datetime as dt

from pipeline_lib.execution.executor import Executor
from pipeline_lib.planning.discovery import discover
from pipeline_lib.planning.plan import Plan
from pipeline_lib.planning.planner import refresh_plan
from pipeline_lib.publishing.gates import check_min_rows
from pipeline_lib.publishing.publisher import finish_cleanup, prepare_output, publish
from pipeline_lib.reporting.progress import Progress
from pipeline_lib.reporting.run_record import Outcome, failures_reported, report
from pipeline_lib.settings.settings import Settings
from pipeline_lib.storage.lease import leased


def run(
    settings: Settings,
    date: dt.date | None,
    progress: Progress,
    executor: Executor,
    *,
    replace: bool = False,
) -> Outcome:
    """Score what is not scored yet, publish all of it and report.

    Args:
        settings: as read, with `{date}` still in its paths.
        date: the day to fill in, if the paths have a place for it.
        progress: told what happens.
        executor: where the steps run.
        replace: whether what is published may be replaced by another version, or without shards that are gone.

    Raises:
        NightscoreError: of the kind whose exit code tells a scheduler what to do; see `errors`.
    """
    attempt = progress.attempt
    attempt.date = date
    with progress.heartbeat():
        progress.phase("listing the input and reading its columns")
        discovery = discover(settings.on_date(date), date=date, replace=replace)
        with executor.planned(discovery, progress) as first:
            attempt.plan = first
            progress.planned(first)
            check_min_rows(first)
            if first.complete:
                finish_cleanup(first)
                return report(attempt, first)
            with failures_reported(attempt), leased(first.settings.output.path, progress.note) as lease:
                attempt.plan = plan = refresh_plan(first, discovery)
                if plan.complete:
                    return report(attempt, plan)  # by a run that ended since the first look
                prepare_output(plan)
                for receipt in executor.receipts(plan, progress):
                    attempt.receipts.append(receipt)
                progress.publishing()
                manifest = publish(plan, attempt.staged, lease.confirm)
                if len(manifest.computed_by) > 1:
                    ways = len(manifest.computed_by)
                    progress.note(f"slices were computed in {ways} ways; computed_by in the manifest")
            return report(attempt, plan, executor.work)


def plan_only(
    settings: Settings, date: dt.date | None, progress: Progress, executor: Executor, *, replace: bool = False
) -> Plan:
    """Return what a run would do, and touch nothing.

    Raises:
        NightscoreError: as `run` would.
    """
    discovery = discover(settings.on_date(date), date=date, replace=replace)
    with executor.planned(discovery, progress) as plan:
        return plan
