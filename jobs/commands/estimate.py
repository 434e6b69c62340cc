"""`nightscore plan CONFIG --estimate`: what a run would take."""

import datetime as dt
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.commands.ending import note, print_topic
from pipeline_lib.errors import SettingsError
from pipeline_lib.settings.settings import Settings

if TYPE_CHECKING:
    from pipeline_lib.planning.plan import Plan
    from pipeline_lib.reporting.outcome import Outcome

EstimateRun = Annotated[
    bool, typer.Option("--estimate", help="Score a sample here, and say how long the run would take.")
]
SampleRows = Annotated[
    int | None,
    typer.Option(
        "--sample",
        metavar="ROWS",
        min=0,
        help="With --estimate: rows to score; 0: none, by past nights. Default: up to 8192, in about 20 seconds.",
    ),
]


def check_sample(rows: int | None, *, estimate: bool) -> None:
    """Check that the options go together.

    Raises:
        SettingsError: `--sample` without `--estimate`.
    """
    if rows is not None and not estimate:
        raise SettingsError("--sample: is the size of the sample for --estimate, which is missing")


def note_estimate(plan: "Plan", outcome: "Outcome") -> None:
    """Print how a run went beside its estimate, if one was made on this machine."""
    from pipeline_lib.estimating.kept import against, kept_estimate

    kept = kept_estimate(plan.settings.output.path, plan.version)
    text = against(kept, outcome.rows_this_run, outcome.seconds, outcome.scoring_seconds) if kept else ""
    if text:
        note("estimate", text)


def print_estimate(  # noqa: PLR0913 - what the command knows
    plan: "Plan", settings: Settings, date: dt.date | None, rows: int | None, *, local: bool, seconds: float
) -> None:
    """Estimate the run of a plan, and print its figures on standard output.

    Args:
        plan: of the run.
        settings: as read.
        date: of the night.
        rows: of the sample.
        local: whether the run will work in one process.
        seconds: that the plan took.

    Raises:
        NightscoreError: see `estimate_run`.
    """
    from pipeline_lib.estimating.estimator import Asked, estimate_run
    from pipeline_lib.estimating.words import estimate_lines

    asked = Asked(settings, date, rows, local, seconds)
    found = estimate_run(plan, asked, lambda text: note("start", text))
    if found is None:
        print_topic("estimate", "nothing is left to score")
        return
    for topic, text in estimate_lines(found):
        print_topic(topic, text)
    # For programs: a line of JSON with --log-format json.
    note("estimate", "made; the next run sets itself against it", **found.to_json())
