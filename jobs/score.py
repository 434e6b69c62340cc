"""The command line of the scoring job: `nightscore run CONFIG`, or `python -m jobs.score run CONFIG`."""

import datetime as dt
import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from jobs.schedule import schedule
from pipeline_lib.errors import NightscoreError, SettingsError
from pipeline_lib.machine.signals import stoppable
from pipeline_lib.machine.terminal import escaped_output, printable
from pipeline_lib.messages import count
from pipeline_lib.reporting.attempt import Attempt
from pipeline_lib.settings.settings import Settings
from pipeline_lib.settings.settings_file import load_settings

if TYPE_CHECKING:
    from pipeline_lib.execution.executor import Executor

app = typer.Typer(
    help="Score the texts of Parquet or CSV shards with a Hugging Face classifier, and publish the result.",
    epilog="Exit codes: 0 published or complete already, 1 a fault that may pass, 2 settings or input are wrong, "
    "3 a gate failed, 4 another run holds the output, 5 the input is not there yet.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.command()(schedule)

Config = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="YAML file with the job's settings, such as configs/sample.yaml.")
]
Date = Annotated[
    str | None, typer.Option(metavar="YYYY-MM-DD", help="The day that {date} in the paths stands for.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a setting, such as output.logits=true; repeatable."),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Local = Annotated[
    bool, typer.Option("--local", help="Work in this process, without Ray: for small inputs and for debuggers.")
]
Replace = Annotated[
    bool,
    typer.Option("--replace", help="Publish in place of another version, or without shards that were removed."),
]


@app.command()
def run(  # noqa: PLR0913 - its options
    config: Config,
    date: Date = None,
    overrides: Overrides = None,
    *,
    replace: Replace = False,
    local: Local = False,
    debug: Debug = False,
) -> None:
    """Score and publish what is not scored yet. Safe to run again at any time."""

    def job() -> None:
        settings, day = _settings(config, overrides), _day(date)
        from pipeline_lib import pipeline
        from pipeline_lib.reporting.progress import Progress
        from pipeline_lib.reporting.summary import summary

        progress = Progress(Console(file=terminal))
        attempts.append(progress.attempt)
        try:
            outcome = pipeline.run(settings, day, progress, _executor(local=local), replace=replace)
        finally:
            progress.close()
        result = summary(progress.attempt.plan, outcome) if progress.attempt.plan else []
        for topic, text in (("speed", outcome.pace()), ("memory", outcome.memory()), *result):
            if text:
                _note(f"{topic:<8} {printable(text)}")
        print(printable(outcome.closing_line()), flush=True)

    attempts: list[Attempt] = []
    with escaped_output() as terminal:
        _ended(job, debug=debug, closing=lambda error: _closing(attempts, error))


@app.command()
def plan(  # noqa: PLR0913 - its options
    config: Config,
    date: Date = None,
    overrides: Overrides = None,
    *,
    replace: Replace = False,
    local: Local = False,
    debug: Debug = False,
) -> None:
    """Show what a run would do. Changes nothing."""

    def job() -> None:
        settings, day = _settings(config, overrides), _day(date)
        from pipeline_lib.pipeline import plan_only
        from pipeline_lib.reporting.plan_lines import devices, plan_lines
        from pipeline_lib.reporting.progress import Progress

        planned = plan_only(settings, day, Progress(Console(quiet=True)), _executor(local=local), replace=replace)
        for topic, text in [*plan_lines(planned), ("devices", devices())]:
            print(f"{topic:<8} {printable(text)}")
        todo = "nothing: published already" if planned.complete else count(len(planned.todo), "slice")
        print(f"to do    {todo}")

    with escaped_output():
        _ended(job, debug=debug)


@app.command()
def verify(config: Config, date: Date = None, overrides: Overrides = None, *, debug: Debug = False) -> None:
    """Check every published file and count against the manifest. Exit 3 if anything differs."""

    def job() -> None:
        settings = _settings(config, overrides).on_date(_day(date))
        from pipeline_lib.publishing.verifier import verify as verify_output

        manifest, problems = verify_output(settings.output.path)
        for problem in problems:
            _note(f"wrong: {printable(problem)}")
        counts = f"in={manifest.rows:,} scored={manifest.scored:,} rejected={manifest.rejected:,}"
        verdict = "DAMAGED" if problems else "VERIFIED"
        print(f"{verdict} {counts} files={_files(manifest):,} version={printable(manifest.version)}")
        if problems:
            raise typer.Exit(3)

    with escaped_output():
        _ended(job, debug=debug)


@app.command()
def schema() -> None:
    """Print the settings' JSON schema, for editors."""
    print(json.dumps(Settings.model_json_schema(), indent=2))


def _executor(*, local: bool) -> "Executor":
    if local:
        from pipeline_lib.execution.local_executor import LocalExecutor

        return LocalExecutor()
    from pipeline_lib.execution.ray_executor import RayExecutor

    return RayExecutor()


def _settings(config: Path, overrides: list[str] | None) -> Settings:
    return load_settings(config, overrides or ())


def _day(date: str | None) -> dt.date | None:
    if date is None:
        return None
    try:
        return dt.datetime.strptime(date, "%Y-%m-%d").replace(tzinfo=dt.UTC).date()
    except ValueError:
        raise SettingsError(f"--date {date!r}: expected YYYY-MM-DD, such as 2026-11-22") from None


def _files(manifest: Any) -> int:
    return sum(len(receipt.files) for receipt in manifest.slices)


def _closing(attempts: Sequence[Attempt], error: BaseException) -> str:
    """Return the closing line of a run that ended before it published, or nothing if it had not begun to work."""
    from pipeline_lib.reporting.run_record import failure

    stopped = isinstance(error, KeyboardInterrupt)
    reported = stopped or (isinstance(error, NightscoreError) and error.exit_code in {1, 3})
    begun = [attempt for attempt in attempts if reported and (attempt.plan or stopped)]
    return printable(failure(begun[0], error).closing_line()) if begun else ""


def _ended(job: Callable[[], None], *, debug: bool, closing: Callable[[BaseException], str] = lambda _: "") -> None:
    """Run a command's body; one of our errors becomes its message, its closing line and its exit code."""

    def last_lines(why: str) -> tuple[str, str]:
        line = closing(KeyboardInterrupt(why))
        return f"{_stopped(why)}\n", f"{line}\n" if line else ""

    with stoppable(last_lines):
        try:
            job()
        except NightscoreError as error:
            if debug:
                traceback.print_exc()
            _note(f"error: {printable(str(error))}")
            _print(closing(error))
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt as stop:
            _note(_stopped(str(stop)))
            _print(closing(stop))
            # Threads of libraries may still be working, and Python's usual exit would unload what they use.
            os._exit(1)


def _stopped(why: str) -> str:
    return f"error: {printable(why) or 'interrupted'}; run the same command again to go on where it stopped"


def _print(line: str) -> None:
    if line:
        print(line, flush=True)


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Run the command line. All that is printed is escaped, also by the parser of options and by a bug."""
    with escaped_output():
        try:
            app()
        except Exception:  # noqa: BLE001 - a bug: its traceback, which may quote what was read
            traceback.print_exc()
            sys.exit(1)


if __name__ == "__main__":
    main()
