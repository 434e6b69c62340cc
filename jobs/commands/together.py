"""What commands share that work on several attempts: at several nights, with several models, or both."""

import datetime as dt
import time
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace as replace_of
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.commands.ending import note, print_line, record_stop
from jobs.commands.options import executor_for
from jobs.commands.watching import Watched, job_name
from pipeline_lib.machine.terminal import printable
from pipeline_lib.reporting.terminal.printers import printer
from pipeline_lib.reporting.terminal.summary import short_path, summary
from pipeline_lib.settings.settings_file import Jobs

if TYPE_CHECKING:
    from pipeline_lib.reporting.attempt import Attempt
    from pipeline_lib.reporting.outcome import Outcome


@dataclass(frozen=True)
class Models:
    """`nightscore run` with several models."""

    jobs: Jobs
    date: dt.date | None
    replace: bool
    """See `pipeline.Job`."""
    accept: str | None
    """See `pipeline.run`."""
    local: bool
    """Whether to work in this process."""
    config: Path
    """The settings file, whose name the job has in metrics."""

    def run(self, attempts: list["Attempt"], watched: Watched) -> int:
        """Run the job of each model over one reading, and return the worst exit code.

        Args:
            attempts: gets the attempt of each model.
            watched: told how the whole ended.
        """
        from pipeline_lib import pipeline
        from pipeline_lib.publishing.gates import words_of
        from pipeline_lib.reporting.attempt import Attempt
        from pipeline_lib.reporting.records.attempts import Attempts, worst_exit_code
        from pipeline_lib.reporting.terminal.progress import Progress

        began, accept = time.monotonic(), words_of(self.accept)
        attempts += [Attempt(date=self.date, accept=accept, model=name) for name in self.jobs]
        progress = Progress(printer(), is_one_night=False)

        def on_end(attempt: Attempt) -> None:
            with progress.paused():
                print_end(attempt)
                _print_result(attempt)

        jobs = {name: pipeline.Job(settings, self.replace) for name, settings in self.jobs.items()}
        executor = executor_for(local=self.local, job=job_name(self.config))
        try:
            pipeline.run_together(jobs, Attempts(attempts, on_end), progress, executor)
        finally:
            progress.close()
        watched.ended(whole_outcome(attempts, began))
        return worst_exit_code(attempts)


def whole_outcome(attempts: Sequence["Attempt"], began: float, error: BaseException | None = None) -> "Outcome":
    """Return how several attempts ended, as if they were one run.

    Args:
        attempts: those that were worked on.
        began: `time.monotonic()` at the start of the whole.
        error: what ended the whole early.
    """
    from pipeline_lib.reporting.attempt import Attempt
    from pipeline_lib.reporting.records.attempts import worst_exit_code
    from pipeline_lib.reporting.records.endings import ended_badly, together

    ended = [each.outcome for each in attempts if each.outcome]
    whole = together(ended, worst_exit_code(attempts), round(time.monotonic() - began, 3))
    if error is None:
        return whole
    end = ended_badly(Attempt(), error)
    return replace_of(whole, status=end.status, exit_code=end.exit_code, error=end.error)


def print_end(attempt: "Attempt") -> None:
    """Print how an attempt ended: its night and model, then the closing line of its run."""
    if attempt.outcome:
        print_line(printable(f"{attempt.title} {attempt.outcome.closing_line(with_date=False)}"))
    for text in attempt.notes:
        note("note", f"{attempt.title}: {text}")
    if attempt.error:
        note("error", f"{attempt.title}: {attempt.error}")
        if attempt.page:  # of a night that a gate held: it shows what was found
            note("page", f"{attempt.title}: {short_path(attempt.page)}")


def stopped_lines(attempts: Sequence["Attempt"], error: BaseException) -> str:
    """Record of attempts that have not ended that a signal stopped them, and return their closing lines."""
    from pipeline_lib.reporting.records.endings import ended_badly

    left = [each for each in attempts if each.outcome is None]
    record_stop(left, error)
    ends = ((each, ended_badly(each, error).closing_line(with_date=False)) for each in left)
    return "\n".join(printable(f"{each.title} {line}") for each, line in ends)


def _print_result(attempt: "Attempt") -> None:
    """Print what a model published: a line about the result, one about rejects, and its page."""
    if attempt.error or not (attempt.plan and attempt.outcome):
        return
    shown = [
        ("speed", attempt.outcome.pace()),
        *summary(attempt.plan, attempt.outcome, attempt.night, pictures=False),
    ]
    for topic, text in shown:
        if text and topic != "open":
            note(topic, f"{attempt.title}: {text}", **(attempt.outcome.figures() if topic == "result" else {}))
    if attempt.page:
        note("page", f"{attempt.title}: {short_path(attempt.page)}")
