"""Backfill: work on nights that need it, with one model for all of them."""

from collections.abc import Callable, Sequence

from pipeline_lib import pipeline
from pipeline_lib.errors import BusyError, GateError, InputNotReadyError
from pipeline_lib.execution.executor import Executor
from pipeline_lib.nights.chosen import Request
from pipeline_lib.nights.night import Night, State
from pipeline_lib.reporting.attempt import Attempt
from pipeline_lib.reporting.records.attempts import Attempts
from pipeline_lib.reporting.terminal.progress import Progress

# Each night that is worked on has a lease with a heartbeat, and a plan in the memory of the driver.
NIGHTS_AT_A_TIME = 31
_WORST_FIRST = (2, 3, 1, 4, 5, 0)
# A run that ends with another exit code has failed.
_STATES: dict[int, State] = {
    0: "published",
    GateError.exit_code: "held",
    BusyError.exit_code: "running",
    InputNotReadyError.exit_code: "no_input",
}


class Backfill:
    """A backfill, as far as it has got.

    Args:
        request: what it was asked for.
        nights: all nights of the range, with their states before.
    """

    def __init__(self, request: Request, nights: Sequence[Night]) -> None:
        self._nights = nights
        self.attempts = [Attempt(date=night.date, backfill=request.as_json()) for night in request.chosen(nights)]
        """At the nights to work on, the first one first."""

    def run(
        self, job: pipeline.Job, progress: Progress, executor: Executor, on_end: Callable[[Attempt], None]
    ) -> None:
        """Work on the nights; a night that fails or is held stops no other.

        Args:
            job: what to do in each night.
            progress: prints what happens.
            executor: where the steps run.
            on_end: called with each attempt as soon as it has ended.
        """
        for first in range(0, len(self.attempts), NIGHTS_AT_A_TIME):
            some = self.attempts[first : first + NIGHTS_AT_A_TIME]
            pipeline.run_together({"": job}, Attempts(some, on_end), progress, executor)

    @property
    def exit_code(self) -> int:
        """The exit code of the night that ended worst."""
        codes = {each.outcome.exit_code for each in self.attempts if each.outcome}
        return min(codes, key=_WORST_FIRST.index, default=0)

    @property
    def states(self) -> list[State]:
        """The state of each night of the range as it is now, as far as this backfill knows."""
        now = {each.date: _state(each) for each in self.attempts if each.outcome}
        return [now.get(night.date, night.state) for night in self._nights]


def _state(attempt: Attempt) -> State:
    if isinstance(attempt.error, KeyboardInterrupt):
        return "interrupted"
    return _STATES.get(attempt.outcome.exit_code, "failed") if attempt.outcome else "running"
