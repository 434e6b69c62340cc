"""The command line of the scoring job: `nightscore run CONFIG`, or `python -m jobs.score run CONFIG`."""

import contextlib
import datetime as dt
import json
import sys
import time
import traceback
from collections.abc import Sequence
from typing import Any

import typer
from rich.console import Console

from jobs.commands.backfill import backfill
from jobs.commands.diff import diff
from jobs.commands.ending import ended, note, print_line, print_topic, record_stop
from jobs.commands.estimate import EstimateRun, SampleRows, check_sample, note_estimate, print_estimate
from jobs.commands.options import (
    Accept,
    AsJson,
    Check,
    Config,
    Date,
    Debug,
    First,
    Last,
    Local,
    Model,
    Overrides,
    Replace,
    TimeZone,
    To,
    day_of,
    executor_for,
)
from jobs.commands.report import index, report
from jobs.commands.schedule import schedule
from jobs.commands.together import Models, stopped_lines, whole_outcome
from jobs.commands.watching import Log, LogFormat, MetricsPath, Watched, job_name, wants_json
from pipeline_lib.errors import NightscoreError
from pipeline_lib.machine.terminal import escaped_output, printable
from pipeline_lib.messages import count
from pipeline_lib.reporting.attempt import Attempt
from pipeline_lib.reporting.terminal.printers import errors_as_json, printer
from pipeline_lib.reporting.terminal.summary import short_path
from pipeline_lib.settings.settings_file import load_jobs, settings_schema

app = typer.Typer(
    help="Score the texts of Parquet, CSV or JSON Lines files with a Hugging Face classifier, and publish them.",
    epilog="Exit codes: 0 published or complete already, 1 a fault that may pass, 2 settings or input are wrong, "
    "3 a gate failed, 4 another run holds the output, 5 the input is not there yet.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command()
def run(  # noqa: PLR0913 - its options
    config: Config,
    date: Date = None,
    overrides: Overrides = None,
    *,
    model: Model = None,
    accept: Accept = None,
    replace: Replace = False,
    local: Local = False,
    metrics_file: MetricsPath = None,
    log_format: Log = LogFormat.TEXT,
    debug: Debug = False,
) -> None:
    """Score and publish what is not scored yet. Safe to run again at any time."""
    del log_format  # `main` looks at it

    def job() -> None:
        watched.begin(metrics_file, config)
        jobs, day = load_jobs(config, overrides or (), model), day_of(date)
        if len(jobs) > 1:
            raise typer.Exit(Models(jobs, day, replace, accept, local, config).run(attempts, watched))
        (settings,) = jobs.values()
        from pipeline_lib import pipeline
        from pipeline_lib.reporting.terminal.progress import Progress
        from pipeline_lib.reporting.terminal.summary import summary

        shown = printer()
        progress = Progress(shown)
        attempts.append(progress.attempt)
        try:
            executor = executor_for(local=local, job=job_name(config))
            outcome = pipeline.run(settings, day, progress, executor, replace=replace, accept=accept)
        finally:
            progress.close()
        watched.ended(outcome)
        pictures = shown.console is not None
        done = progress.attempt
        result = summary(done.plan, outcome, done.night, pictures=pictures) if done.plan else []
        for topic, text in (("speed", outcome.pace()), ("memory", outcome.memory()), *result):
            if text:
                shown.line(topic, text, **(outcome.figures() if topic == "result" else {}))
        if done.plan:
            note_estimate(done.plan, outcome)
        _show_page(done)
        if accept and not done.accepted:
            note("note", "--accept was not needed: no gate stopped this result")
        print_line(printable(outcome.closing_line()))

    attempts, watched = list[Attempt](), Watched()
    with escaped_output():
        ended(job, debug=debug, closing=lambda error: _closing(attempts, watched, error))


@app.command()
def plan(  # noqa: PLR0913 - its options
    config: Config,
    date: Date = None,
    overrides: Overrides = None,
    *,
    estimate: EstimateRun = False,
    sample: SampleRows = None,
    model: Model = None,
    replace: Replace = False,
    local: Local = False,
    log_format: Log = LogFormat.TEXT,
    debug: Debug = False,
) -> None:
    """Show what a run would do. Changes nothing."""
    del log_format  # `main` looks at it

    def job() -> None:
        began = time.monotonic()
        check_sample(sample, estimate=estimate)
        jobs, day = load_jobs(config, overrides or (), model), day_of(date)
        from pipeline_lib.inputs.shard_inspection import SeenInput
        from pipeline_lib.pipeline import Job, plan_only
        from pipeline_lib.reporting.terminal.plan_lines import devices, plan_lines
        from pipeline_lib.reporting.terminal.progress import Progress

        seen = SeenInput()
        for name, settings in jobs.items():
            if name:
                print_topic("as", name)
            job, progress = Job(settings, replace), Progress(Console(quiet=True))
            planned = plan_only(job, day, progress, executor_for(local=local), seen)
            for topic, text in [*plan_lines(planned), ("devices", devices())]:
                print_topic(topic, text)
            todo = "nothing: published already" if planned.complete else count(len(planned.todo), "slice")
            print_topic("to do", todo)
            if estimate:
                print_estimate(planned, settings, day, sample, local=local, seconds=time.monotonic() - began)

    with escaped_output():
        ended(job, debug=debug)


@app.command()
def verify(  # noqa: PLR0913 - its options
    config: Config,
    date: Date = None,
    overrides: Overrides = None,
    *,
    model: Model = None,
    log_format: Log = LogFormat.TEXT,
    debug: Debug = False,
) -> None:
    """Check every published file and count against the manifest. Exit 3 if anything differs."""
    del log_format  # `main` looks at it

    def job() -> None:
        jobs, day = load_jobs(config, overrides or (), model), day_of(date)
        codes = [_verify(settings.on_date(day).output.path, name) for name, settings in jobs.items()]
        if any(codes):
            raise typer.Exit(max(codes))

    with escaped_output():
        ended(job, debug=debug)


def _verify(path: str, name: str) -> int:
    """Verify an output, print the verdict, and return the exit code; of several models a missing one is no end."""
    from pipeline_lib.publishing.verifier import verify as verify_output

    title = f"{name} " if name else ""
    try:
        manifest, problems = verify_output(path)
    except NightscoreError as error:
        if not name:
            raise
        printer().problem("error", f"{title}{error}", exit_code=error.exit_code)
        return error.exit_code
    for problem in problems:
        printer().problem("wrong", f"{title}{problem}")
    counts = f"in={manifest.rows:,} scored={manifest.scored:,} rejected={manifest.rejected:,}"
    verdict = "DAMAGED" if problems else "VERIFIED"
    print(f"{title}{verdict} {counts} files={_files(manifest):,} version={printable(manifest.version)}")
    return 3 if problems else 0


@app.command()
def status(  # noqa: PLR0913 - its options
    config: Config,
    overrides: Overrides = None,
    *,
    last: Last = None,
    first: First = None,
    to: To = None,
    timezone: TimeZone = "UTC",
    as_json: AsJson = False,
    check: Check = False,
    model: Model = None,
    log_format: Log = LogFormat.TEXT,
    debug: Debug = False,
) -> None:
    """Show how each night went, from files alone. Changes nothing."""
    del log_format  # `main` looks at it

    def job() -> None:
        from pipeline_lib.nights.dates import DateRange
        from pipeline_lib.nights.status import nights_meant, status_of_models
        from pipeline_lib.nights.table import in_words, print_table

        jobs, now = load_jobs(config, overrides or (), model), dt.datetime.now(dt.UTC)
        dates = nights_meant(next(iter(jobs.values())), DateRange(last, first, to, timezone), now)
        nights = status_of_models(jobs, dates, now, lambda text: note("note", text))
        if as_json:
            print(printable(json.dumps([night.as_json() for night in nights])))
        else:
            print_table(nights, terminal if terminal.isatty() else None)
            print(in_words([night.state for night in nights]))
        if check and any(night.state != "published" for night in nights):
            raise typer.Exit(3)

    terminal = sys.stdout
    with escaped_output():
        ended(job, debug=debug)


app.command()(backfill)
app.command()(diff)
app.command()(schedule)
app.command()(report)
app.command()(index)


@app.command()
def schema() -> None:
    """Print the settings' JSON schema, for editors."""
    print(json.dumps(settings_schema(), indent=2))


def _files(manifest: Any) -> int:
    return len(manifest.published_files)


def _show_page(attempt: Attempt) -> None:
    """Print where the page of the night is, if there is one."""
    for text in attempt.notes:
        note("note", text)
    if attempt.page:
        note("page", short_path(attempt.page))


def _closing(attempts: Sequence[Attempt], watched: Watched, error: BaseException) -> str:
    """Return the closing line of a run that ended before it published, or nothing if it had not begun to work."""
    from pipeline_lib.reporting.records.endings import ended_badly

    if len(attempts) > 1:  # of several models, those that have ended have told how
        watched.ended(whole_outcome(attempts, attempts[0].started, error))
        return stopped_lines(attempts, error) if isinstance(error, KeyboardInterrupt) else ""
    attempt = [*attempts, Attempt()][0]
    _show_page(attempt)
    watched.ended(ended_badly(attempt, error))
    stopped = isinstance(error, KeyboardInterrupt)
    if stopped:
        record_stop(attempts, error)
    failed = attempt.plan and isinstance(error, NightscoreError) and error.exit_code in {1, 3}
    return printable(ended_badly(attempt, error).closing_line()) if stopped or failed else ""


def main() -> None:
    """Run the command line. All that is printed is escaped, also by the parser of options and by a bug."""
    with escaped_output() as terminal, errors_as_json(terminal) if wants_json() else contextlib.nullcontext():
        try:
            app()
        except Exception:  # noqa: BLE001 - a bug: its traceback, which may quote what was read
            traceback.print_exc()
            sys.exit(1)


if __name__ == "__main__":
    main()
