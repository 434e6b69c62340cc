"""Nights side by side: each ends in its own way, and what ends all of them is told to each."""

import datetime as dt
from collections.abc import Generator

import pytest

from pipeline_lib.errors import InputError, LostWorkerError
from pipeline_lib.planning.plan import Plan
from pipeline_lib.reporting.attempt import Attempt
from pipeline_lib.reporting.outcome import Outcome
from pipeline_lib.reporting.records.attempts import Attempts

DONE = Outcome("PUBLISHED", "v", None, 1, 1, 0, 1, 1.0)


class Nights:
    """Two nights that wait once, and note what reaches them there."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.ended: list[Attempt] = []
        self.first, self.second = Attempt(date=dt.date(2026, 11, 1)), Attempt(date=dt.date(2026, 11, 2))
        self.together = Attempts([self.first, self.second], self.ended.append)
        self.together.start(self._steps)
        self.together.go_on()

    def _steps(self, attempt: Attempt) -> Generator[None, Plan, Outcome]:
        try:
            yield
        except BaseException as error:
            self.told.append(f"{attempt.date}: {error}")
            raise
        return DONE


def test_an_error_ends_its_own_night_and_the_other_goes_on() -> None:
    nights = Nights()
    nights.together.fail(nights.first, InputError("a wrong file"))
    assert nights.together.left == [nights.second]
    nights.together.go_on()
    assert nights.ended == [nights.first, nights.second]
    assert nights.second.result() is DONE
    assert nights.first.outcome
    assert (nights.first.outcome.status, nights.first.outcome.exit_code) == ("FAILED", 2)
    with pytest.raises(InputError, match="a wrong file"):
        nights.first.result()


def test_an_error_of_the_cluster_ends_every_night_that_is_left_and_is_not_raised() -> None:
    nights = Nights()
    nights.together.go_on(nights.first)
    with nights.together.ended_by_errors():
        raise LostWorkerError("no machine is left")
    assert nights.told == ["2026-11-02: no machine is left"]
    assert nights.first.result() is DONE
    assert nights.second.outcome
    assert nights.second.outcome.exit_code == 1
    assert not nights.together.left


def test_a_signal_reaches_every_night_that_is_left_and_is_raised() -> None:
    nights = Nights()
    with pytest.raises(KeyboardInterrupt), nights.together.ended_by_errors():
        raise KeyboardInterrupt("stopped by SIGTERM")
    assert nights.told == [f"2026-11-0{day}: stopped by SIGTERM" for day in (1, 2)]
    assert [each.outcome.status for each in nights.ended if each.outcome] == ["STOPPED", "STOPPED"]


def test_an_error_after_all_nights_have_ended_is_raised() -> None:
    nights = Nights()
    nights.together.go_on()
    with pytest.raises(LostWorkerError), nights.together.ended_by_errors():
        raise LostWorkerError("too late")


def test_a_signal_after_a_night_is_recorded_leaves_it_published_and_is_raised() -> None:
    def steps(attempt: Attempt) -> Generator[None, Plan, Outcome]:
        attempt.outcome = DONE
        yield  # its page is being written
        raise AssertionError(attempt)

    nights, published = Nights(), Attempt(date=dt.date(2026, 11, 3))
    together = Attempts([published], nights.ended.append)
    together.start(steps)
    together.go_on()
    with pytest.raises(KeyboardInterrupt), together.ended_by_errors():
        raise KeyboardInterrupt("stopped by SIGTERM")
    assert nights.ended == [published]
    assert published.result() is DONE
    with pytest.raises(LostWorkerError), together.ended_by_errors():
        raise LostWorkerError("later")
