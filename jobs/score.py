"""The command line of the scoring job: `python -m jobs.score run CONFIG`, and its plan and verification."""

import datetime as dt
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from pipeline_lib.config import Settings
from pipeline_lib.errors import NightscoreError, SettingsError
from pipeline_lib.settings_file import load_settings

app = typer.Typer(
    help="Score the texts of Parquet or CSV shards with a Hugging Face classifier, and publish the result.",
    epilog="Exit codes: 0 published or complete already, 1 a fault that may pass, 2 settings or input are wrong, "
    "3 a gate failed, 4 another run holds the output, 5 the input is not there yet.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

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


Replace = Annotated[
    bool,
    typer.Option("--replace", help="Publish instead of another version, or without shards that are gone."),
]


@app.command()
def run(
    config: Config,
    date: Date = None,
    overrides: Overrides = None,
    *,
    replace: Replace = False,
    debug: Debug = False,
) -> None:
    """Score and publish what is not scored yet. Safe to run again at any time."""

    def job() -> None:
        settings, day = _settings(config, overrides), _day(date)
        from pipeline_lib import pipeline
        from pipeline_lib.progress import Progress

        progress = Progress(Console(stderr=True))
        try:
            outcome = pipeline.run(settings, day, progress, replace=replace)
        finally:
            progress.close()
        for topic, text in (("speed", outcome.pace()), ("memory", outcome.memory())):
            if text:
                _note(f"{topic:<8} {text}")
        print(outcome.line(), flush=True)

    _ended(job, debug=debug)


@app.command()
def plan(
    config: Config,
    date: Date = None,
    overrides: Overrides = None,
    *,
    replace: Replace = False,
    debug: Debug = False,
) -> None:
    """Show what a run would do. Touches nothing."""

    def job() -> None:
        settings, day = _settings(config, overrides), _day(date)
        from pipeline_lib.planner import look, make_plan
        from pipeline_lib.progress import described, devices

        found = make_plan(look(settings.on_date(day), dated=day is not None, replace=replace))
        for topic, text in [*described(found), ("devices", devices())]:
            print(f"{topic:<8} {text}")
        print("to do    " + (f"{len(found.todo):,} slices" if not found.complete else "nothing: published already"))

    _ended(job, debug=debug)


@app.command()
def verify(config: Config, date: Date = None, overrides: Overrides = None, *, debug: Debug = False) -> None:
    """Check every published file and count against the manifest. Exit 3 if anything differs."""

    def job() -> None:
        settings = _settings(config, overrides).on_date(_day(date))
        from pipeline_lib.verifier import verify as verify_output

        manifest, problems = verify_output(settings.output.path)
        for problem in problems:
            _note(f"wrong: {problem}")
        counts = f"in={manifest.rows:,} scored={manifest.scored:,} rejected={manifest.rejected:,}"
        verdict = "DAMAGED" if problems else "VERIFIED"
        print(f"{verdict} {counts} files={_files(manifest):,} version={manifest.version}")
        if problems:
            raise typer.Exit(3)

    _ended(job, debug=debug)


@app.command()
def schema() -> None:
    """Print the settings' JSON schema, for editors."""
    print(json.dumps(Settings.model_json_schema(), indent=2))


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


def _ended(job: Callable[[], None], *, debug: bool) -> None:
    """Run a command's body; an error of ours becomes its message and its exit code."""
    signal.signal(signal.SIGTERM, _stop)
    try:
        job()
    except NightscoreError as error:
        if debug:
            raise
        _note(f"error: {error}")
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt as stop:
        _note(f"error: {str(stop) or 'interrupted'}; run the same command again to go on where it stopped")
        # Threads of libraries may be at work, and Python's own end would take from under them what they use.
        os._exit(1)


def _stop(*_: Any) -> None:
    """End as a scheduler asks for, at the next line of Python; what is staged stays."""
    # No Exception, so that nothing on the way takes it for a failure of its own.
    raise KeyboardInterrupt("stopped by SIGTERM")


def _note(text: str) -> None:
    typer.echo(text, err=True)


if __name__ == "__main__":
    app()
