"""`nightscore backfill`: work on the nights of a range that need it, with one model for all."""

import datetime as dt
import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from jobs.commands.ending import ended, note, print_line, record_stop
from jobs.commands.options import (
    Config,
    Debug,
    First,
    Local,
    Overrides,
    Replace,
    TimeZone,
    To,
    executor_for,
)
from pipeline_lib.machine.terminal import escaped_output, printable
from pipeline_lib.messages import count, duration
from pipeline_lib.nights.chosen import Only, Order
from pipeline_lib.settings.settings_file import load_settings

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
    replace: Replace = False,
    dry_run: DryRun = False,
    local: Local = False,
    debug: Debug = False,
) -> None:
    """Score and publish the nights of a range that are missing, with one model for all of them."""
    began, started = time.monotonic(), list["Backfill"]()

    def job() -> None:
        from pipeline_lib.nights.chosen import Request
        from pipeline_lib.nights.dates import DateRange
        from pipeline_lib.nights.status import nights_status
        from pipeline_lib.nights.table import in_words

        settings, now = load_settings(config, overrides or ()), dt.datetime.now(dt.UTC)
        request = Request.of(settings, DateRange(last, first, to, timezone), now, only, order)
        told = print if dry_run else note
        told(f"nights   {request.in_words()}")
        nights = nights_status(settings, request.dates, now, lambda text: note(f"note     {printable(text)}"))
        told(f"states   {in_words([night.state for night in nights])}")
        if dry_run:
            from pipeline_lib.nights.dry_run import dry_run_lines

            for line in dry_run_lines(settings, request, nights):
                print(printable(line))
            return
        from pipeline_lib.nights.backfill import Backfill
        from pipeline_lib.pipeline import Job
        from pipeline_lib.reporting.progress import Progress

        work = Backfill(request, nights)
        started.append(work)
        progress = Progress(Console(file=terminal), is_one_night=False)

        def ended_night(attempt: "Attempt") -> None:
            with progress.paused():
                print_line(printable(_line(attempt)))
                if attempt.error:
                    note(f"error    {printable(f'{attempt.date}: {attempt.error}')}")

        try:
            work.run(Job(settings, replace), progress, executor_for(local=local), ended_night)
        finally:
            progress.close()
        print_line(_closing(work, began))
        raise typer.Exit(work.exit_code)

    def closing(error: BaseException) -> str:
        if not started or not isinstance(error, KeyboardInterrupt):
            return ""
        record_stop(started[0].attempts, error)
        return _closing(started[0], began)

    with escaped_output() as terminal:
        ended(job, debug=debug, closing=closing)


def _line(attempt: "Attempt") -> str:
    """Return the line of a night that has ended: its date, then the closing line of its run."""
    return f"{attempt.date} {attempt.outcome.closing_line(with_date=False)}" if attempt.outcome else ""


def _closing(work: "Backfill", began: float) -> str:
    from pipeline_lib.nights.table import in_words

    done = count(len(work.attempts), "night")
    return f"BACKFILL {in_words(work.states)}; worked on {done}, {duration(time.monotonic() - began)}"
