"""`nightscore backfill`: work on the nights of a range that need it, with one model for all."""

import datetime as dt
import time
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.commands.ending import ended, note, print_line, print_topic, record_stop
from jobs.commands.options import (
    Config,
    Debug,
    First,
    Local,
    Model,
    Overrides,
    Replace,
    TimeZone,
    To,
    executor_for,
)
from jobs.commands.together import print_end, whole_outcome
from jobs.commands.watching import Log, LogFormat, MetricsPath, Watched, job_name
from pipeline_lib.machine.terminal import escaped_output, printable
from pipeline_lib.messages import count, duration
from pipeline_lib.nights.chosen import Only, Order
from pipeline_lib.reporting.terminal.printers import printer
from pipeline_lib.settings.settings_file import load_jobs

if TYPE_CHECKING:
    from pipeline_lib.nights.backfill import Backfill
    from pipeline_lib.reporting.attempt import Attempt

Last = Annotated[int | None, typer.Option(metavar="N", help="The N nights up to yesterday.")]
Which = Annotated[
    Only,
    typer.Option(
        help="missing: all that are not published, held, stale or running; failed: failed and interrupted ones; "
        "stale: published ones that a run would change."
    ),
]
Direction = Annotated[Order, typer.Option(help="Which night is scored and published first.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done. Changes nothing.")]


def backfill(  # noqa: PLR0913 - its options
    config: Config,
    overrides: Overrides = None,
    *,
    last: Last = None,
    first: First = None,
    to: To = None,
    timezone: TimeZone = "UTC",
    only: Which = Only.MISSING,
    order: Direction = Order.NEWEST,
    model: Model = None,
    replace: Replace = False,
    dry_run: DryRun = False,
    local: Local = False,
    metrics_file: MetricsPath = None,
    log_format: Log = LogFormat.TEXT,
    debug: Debug = False,
) -> None:
    """Score all missing nights of a range, with one model."""
    del log_format  # `main` looks at it
    began, started, watched = time.monotonic(), list["Backfill"](), Watched()

    def job() -> None:
        if not dry_run:
            watched.begin(metrics_file, config)
        from pipeline_lib.nights.chosen import Request
        from pipeline_lib.nights.dates import DateRange
        from pipeline_lib.nights.status import status_of_models
        from pipeline_lib.nights.table import in_words

        jobs, now = load_jobs(config, overrides or (), model), dt.datetime.now(dt.UTC)
        request = Request.of(next(iter(jobs.values())), DateRange(last, first, to, timezone), now, only, order)
        told = print_topic if dry_run else note
        told("nights", request.in_words())
        nights = status_of_models(jobs, request.dates, now, lambda text: note("note", text))
        told("states", in_words([night.state for night in nights]))
        if dry_run:
            from pipeline_lib.nights.dry_run import dry_run_lines

            for line in dry_run_lines(jobs, request, nights):
                print(printable(line))
            return
        from pipeline_lib.nights.backfill import Backfill
        from pipeline_lib.pipeline import Job
        from pipeline_lib.reporting.terminal.progress import Progress

        work = Backfill(request, nights)
        started.append(work)
        progress = Progress(printer(), is_one_night=False)

        def ended_night(attempt: "Attempt") -> None:
            with progress.paused():
                print_end(attempt)

        try:
            executor = executor_for(local=local, job=job_name(config))
            work.run({name: Job(each, replace) for name, each in jobs.items()}, progress, executor, ended_night)
        finally:
            progress.close()
        watched.ended(whole_outcome(work.attempts, began))
        print_line(_closing(work, began))
        raise typer.Exit(work.exit_code)

    def closing(error: BaseException) -> str:
        watched.ended(whole_outcome(started[0].attempts if started else (), began, error))
        if not started or not isinstance(error, KeyboardInterrupt):
            return ""
        record_stop(started[0].attempts, error)
        return _closing(started[0], began)

    with escaped_output():
        ended(job, debug=debug, closing=closing)


def _closing(work: "Backfill", began: float) -> str:
    from pipeline_lib.nights.table import in_words

    done = count(len(work.attempts), "night")
    return f"BACKFILL {in_words(work.states)}; worked on {done}, {duration(time.monotonic() - began)}"
