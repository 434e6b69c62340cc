"""Backfill: work on nights that need it, with one model for all of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby

from pipeline_lib import pipeline
from pipeline_lib.errors import BusyError, GateError, InputNotReadyError
from pipeline_lib.execution.executor import Executor
from pipeline_lib.nights.chosen import Request
from pipeline_lib.nights.night import Night, State
from pipeline_lib.reporting.attempt import Attempt
from pipeline_lib.reporting.records.attempts import Attempts, worst_exit_code
from pipeline_lib.reporting.terminal.progress import Progress

# Each night that is worked on has a lease with a heartbeat, and a plan in the memory of the driver.
NIGHTS_AT_A_TIME = 31
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
        nights: all nights of the range, of each model, with their states before.
    """

    def __init__(self, request: Request, nights: Sequence[Night]) -> None:
        self._nights = nights
        asked, chosen = request.as_json(), request.chosen(nights)
        self.attempts = [Attempt(date=night.date, model=night.name, backfill=asked) for night in chosen]
        """At the nights to work on, the first one first."""

    def run(
        self,
        jobs: Mapping[str, pipeline.Job],
        progress: Progress,
        executor: Executor,
        on_end: Callable[[Attempt], None],
    ) -> None:
        """Work on the nights; a night that fails or is held stops no other.

        Args:
            jobs: what to do in each night, by the names of the models.
            progress: prints what happens.
            executor: where the steps run.
            on_end: called with each attempt as soon as it has ended.
        """
        for some in self._at_a_time():
            pipeline.run_together(jobs, Attempts(some, on_end), progress, executor)

    def _at_a_time(self) -> Iterator[list[Attempt]]:
        """Yield the attempts that are made together: all models of some nights."""
        some: list[Attempt] = []
        for _, models in groupby(self.attempts, key=lambda each: each.date):
            of_night = list(models)
            if some and len(some) + len(of_night) > NIGHTS_AT_A_TIME:
                yield some
                some = []
            some += of_night
        if some:
            yield some

    @property
    def exit_code(self) -> int:
        """The exit code of the night that ended worst."""
        return worst_exit_code(self.attempts)

    @property
    def states(self) -> list[State]:
        """The state of each night of the range as it is now, as far as this backfill knows."""
        now = {(each.date, each.model): _state(each) for each in self.attempts if each.outcome}
        return [now.get((night.date, night.name), night.state) for night in self._nights]


def _state(attempt: Attempt) -> State:
    if isinstance(attempt.error, KeyboardInterrupt):
        return "interrupted"
    return _STATES.get(attempt.outcome.exit_code, "failed") if attempt.outcome else "running"
