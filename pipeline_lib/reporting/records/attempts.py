"""Attempts at several nights: each goes on until it waits for the others, and how each ends is kept."""

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator

from pipeline_lib.errors import NightscoreError
from pipeline_lib.planning.plan import Plan
from pipeline_lib.reporting.attempt import Attempt
from pipeline_lib.reporting.outcome import Outcome
from pipeline_lib.reporting.records.endings import ended_badly

Steps = Generator[None, Plan, Outcome]
"""What happens to a night. It stops at each `yield`, to go on when the other nights have got there too."""


_WORST_FIRST = (2, 3, 1, 4, 5, 0)


def worst_exit_code(attempts: Iterable[Attempt]) -> int:
    """Return the exit code of the attempt that ended worst."""
    codes = {each.outcome.exit_code for each in attempts if each.outcome}
    return min(codes, key=_WORST_FIRST.index, default=0)


class Attempts:
    """Nights that are worked on together.

    Args:
        attempts: one for each night, in the order in which they are worked on.
        on_end: called with each attempt as soon as it has ended.
    """

    def __init__(self, attempts: Iterable[Attempt], on_end: Callable[[Attempt], None] = lambda _: None) -> None:
        self._attempts, self._on_end = list(attempts), on_end
        self._steps: dict[Attempt, Steps] = {}

    def start(self, steps: Callable[[Attempt], Steps]) -> None:
        """Take what is to happen to each night; nothing of it happens yet."""
        self._steps = {attempt: steps(attempt) for attempt in self._attempts}

    @property
    def left(self) -> list[Attempt]:
        """The nights that have not ended, in their order."""
        return list(self._steps)

    def go_on(self, *attempts: Attempt) -> None:
        """Let nights go on to where they wait or end: these, or all that have not ended."""
        for attempt in attempts or self.left:
            if attempt in self._steps:
                self._step(attempt, self._steps[attempt].__next__)

    def go_on_with(self, attempt: Attempt, plan: Plan | NightscoreError) -> None:
        """Give a night the plan that it waits for, or the reason why it has none."""
        if isinstance(plan, NightscoreError):
            self.fail(attempt, plan)
        else:
            self._step(attempt, lambda: self._steps[attempt].send(plan))

    def fail(self, attempt: Attempt, error: BaseException) -> None:
        """End a night by an error, which is raised where the night waits."""
        self._step(attempt, lambda: self._steps[attempt].throw(error))

    @contextlib.contextmanager
    def ended_by_errors(self) -> Iterator[None]:
        """End all nights that are left by what ends the block; only what is no error of ours is raised again."""
        try:
            yield
        except BaseException as error:
            left = self.left
            for attempt in left:
                with contextlib.suppress(type(error)):
                    self.fail(attempt, error)
            if not left or not isinstance(error, NightscoreError):
                raise

    def _step(self, attempt: Attempt, step: Callable[[], None]) -> None:
        try:
            step()
        except StopIteration as end:
            attempt.outcome = end.value
        except BaseException as error:
            # A signal while the record or the page of a published night is written does not take back the night.
            if not (attempt.outcome and isinstance(error, KeyboardInterrupt)):
                attempt.error, attempt.outcome = error, ended_badly(attempt, error)
            if not isinstance(error, NightscoreError):
                self._end(attempt)
                raise
        else:
            return
        self._end(attempt)

    def _end(self, attempt: Attempt) -> None:
        del self._steps[attempt]
        self._on_end(attempt)
