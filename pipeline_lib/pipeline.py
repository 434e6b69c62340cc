"""The whole job, in the order in which it happens: discover, plan, score, publish, report.

Scoring takes each slice through the steps of `execution.steps`: read, tokenize, classify, write. An executor runs
them in Ray's actors, or in this process.
"""

import datetime as dt

from pipeline_lib.execution.executor import Executor
from pipeline_lib.planning.discovery import discover
from pipeline_lib.planning.plan import Plan
from pipeline_lib.planning.planner import refresh_plan
from pipeline_lib.publishing.gates import check_min_rows, words_of
from pipeline_lib.publishing.publisher import finish_cleanup, prepare_output, publish
from pipeline_lib.reporting.outcome import Outcome
from pipeline_lib.reporting.progress import Progress
from pipeline_lib.reporting.recording import recorded
from pipeline_lib.settings.settings import Settings
from pipeline_lib.storage.lease import leased


def run(  # noqa: PLR0913 - what a user may ask of a run
    settings: Settings,
    date: dt.date | None,
    progress: Progress,
    executor: Executor,
    *,
    replace: bool = False,
    accept: str | None = None,
) -> Outcome:
    """Score the slices that are not scored yet, publish all of them, and report.

    Args:
        settings: as read, with `{date}` still in its paths.
        date: the day to fill in, if the paths have a place for it.
        progress: prints what happens.
        executor: where the steps run.
        replace: whether what is published may be replaced by another version, or without shards that are gone.
        accept: why the result is published even if a gate stops it.

    Raises:
        NightscoreError: of the kind whose exit code tells a scheduler what to do; see `errors`.
    """
    attempt = progress.attempt
    attempt.accept = words_of(accept)
    with progress.heartbeat(), recorded(attempt, settings, date) as record:
        progress.phase("listing the input and reading its columns")
        discovery = discover(record.settings, date=date, replace=replace, output=record.output)
        attempt.discovery = discovery
        with executor.planned(discovery, progress, is_run=True) as first_plan:
            attempt.plan = first_plan
            progress.planned(first_plan)
            check_min_rows(first_plan, attempt.accept)
            if first_plan.complete:
                finish_cleanup(first_plan)
                return record.end(first_plan)
            with leased(first_plan.settings.output.path, progress.note) as lease:
                attempt.plan = plan = refresh_plan(first_plan, discovery)
                if not plan.complete:  # else another run published it before this one got the lease
                    prepare_output(plan)
                    score(plan, executor, progress)
                    progress.publishing()
                    progress.published(publish(plan, attempt.staged, lease.confirm, attempt.accept))
            return record.end(plan, executor.work)


def score(plan: Plan, executor: Executor, progress: Progress) -> None:
    """Take the slices that are left through the steps, and keep the receipt of each as soon as it is written."""
    for receipt in executor.receipts(plan, progress):
        progress.attempt.receipts.append(receipt)


def plan_only(
    settings: Settings, date: dt.date | None, progress: Progress, executor: Executor, *, replace: bool = False
) -> Plan:
    """Return the plan that a run would have; nothing is written, and Ray does not start.

    Raises:
        NightscoreError: as `run` would.
    """
    discovery = discover(settings.on_date(date), date=date, replace=replace)
    with executor.planned(discovery, progress, is_run=False) as plan:
        return plan
