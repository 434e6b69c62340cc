"""Go on after a loss of machines: notice that the room which is kept is of no use, and reserve what is left."""

import contextlib
import queue
import threading
import time
from collections.abc import Generator, Iterator
from typing import Generic, NamedTuple, TypeVar

import ray
from ray.util.placement_group import placement_group_table, remove_placement_group

from pipeline_lib.errors import FaultError, LostWorkerError, SettingsError
from pipeline_lib.execution.cluster.autoscaling import bundles_of, requested_room
from pipeline_lib.execution.cluster.nodes import all_nodes
from pipeline_lib.execution.cluster.placement import SECONDS_TO_GROW, Note, Room, reserved
from pipeline_lib.planning.capacity import fits
from pipeline_lib.planning.resources import wanted
from pipeline_lib.settings.sections.tuning import Device, TuningSettings

_SECONDS_TO_RETURN = 60.0
_SECONDS_BETWEEN_CHECKS = 1.0
_SECONDS_TO_END = 20.0
_NONE_CAME = "no machine came in place of one that was lost"
_LOST = "RESCHEDULING"
"""What Ray says of a placement group from the loss of a machine until all of it has a place again."""

_T = TypeVar("_T")


def unless_stuck(results: Generator[_T], room: Room) -> Iterator[_T]:
    """Yield results; give the room up when none comes for a minute while Ray has no place for a part of it.

    Ray would wait for ever for a machine in place of one that was lost, and keep the slices of its actors. An actor
    that was about to start anew may stay so even when its room is gone; the results are waited for in a thread,
    which is left alone then.

    Args:
        results: of the actors in the room.
        room: is of no use any more when a `LostWorkerError` was raised.

    Raises:
        LostWorkerError: the room was given up.
    """
    arrived, is_over = queue.SimpleQueue[_Arrival[_T]](), threading.Event()
    threading.Thread(target=_pull, args=(results, arrived, is_over), name="results", daemon=True).start()
    loss = _Loss(room)
    try:
        while (arrival := loss.next(arrived)).result:
            yield from arrival.result
        if loss.gave_up and isinstance(arrival.error, FaultError):
            raise LostWorkerError(_NONE_CAME) from arrival.error
        if arrival.error:
            raise arrival.error
    finally:
        is_over.set()


class _Arrival(NamedTuple, Generic[_T]):
    """A result, or neither when there are no more, or what ended them."""

    result: tuple[_T, ...] = ()
    error: BaseException | None = None


def _pull(results: Generator[_T], arrived: queue.SimpleQueue[_Arrival[_T]], is_over: threading.Event) -> None:
    """Hand each result on, until there are no more or nobody takes them any more."""
    try:
        with contextlib.closing(results):
            for result in results:
                arrived.put(_Arrival((result,)))
                if is_over.is_set():
                    return
        arrived.put(_Arrival())
    except BaseException as error:  # noqa: BLE001 - raised where the results are taken
        arrived.put(_Arrival(error=error))


class _Loss:
    """Looks at the room while no result comes, and gives it up when it is of no use."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._lost_since: float | None = None
        self._given_up_at: float | None = None

    @property
    def gave_up(self) -> bool:
        """Whether the room was given up, so that what ends the results is no failure."""
        return self._given_up_at is not None

    def next(self, arrived: queue.SimpleQueue[_Arrival[_T]]) -> _Arrival[_T]:
        """Wait for the next result.

        Raises:
            LostWorkerError: the room was given up a while ago, and Ray does not end the results.
        """
        began = time.monotonic()
        while True:
            with contextlib.suppress(queue.Empty):
                return arrived.get(timeout=_SECONDS_BETWEEN_CHECKS)
            now = time.monotonic()
            if self._given_up_at is None:
                self._check(began, now)
            elif now - self._given_up_at > _SECONDS_TO_END:
                raise LostWorkerError(_NONE_CAME)

    def _check(self, waiting_since: float, now: float) -> None:
        if not self._has_lost():
            self._lost_since = None
            return
        self._lost_since = self._lost_since or now
        if now - max(waiting_since, self._lost_since) > _SECONDS_TO_RETURN:
            self._given_up_at = now
            for group in self._room.groups:
                with contextlib.suppress(ray.exceptions.RayError):
                    remove_placement_group(group)  # ends the actors in it, and so the results

    def _has_lost(self) -> bool:
        try:
            # Empty where Ray does not answer in time.
            return any(placement_group_table(group).get("state") == _LOST for group in self._room.groups)
        except ray.exceptions.RayError:
            return False  # where Ray is lost, the results say so


@contextlib.contextmanager
def reserved_again(slices: int, tuning: TuningSettings, device: Device, note: Note) -> Iterator[Room]:
    """Keep room on the machines that a loss has left, also if less than the settings name; see `reserved`.

    Raises:
        FaultError: there is no room for a single model actor, and none comes.
        LostWorkerError: meanwhile more was lost.
    """
    with contextlib.ExitStack() as stack:
        try:
            fitting = _fitting(slices, tuning, device, note)
            room = stack.enter_context(reserved(slices, fitting, device, note))
        except SettingsError as error:  # what began to run did fit
            raise LostWorkerError(f"a machine was lost: {error}") from error
        yield room


def _fitting(slices: int, tuning: TuningSettings, device: Device, note: Note) -> TuningSettings:
    """Return the settings, or such that ask for less, as soon as what they ask for fits."""
    began = time.monotonic()
    if found := _first_that_fits(slices, tuning, device):
        return _told(found, tuning, note)
    note("waiting for machines in place of those that were lost")
    with requested_room(bundles_of(wanted((), slices, tuning, device))) as is_refused:
        while not (found := _first_that_fits(slices, tuning, device)):
            waited = time.monotonic() - began
            if waited > SECONDS_TO_GROW or (waited > _SECONDS_TO_RETURN and is_refused()):
                raise FaultError(
                    "no machine is left that can go on, and none came in place of those that were lost"
                )
            time.sleep(_SECONDS_BETWEEN_CHECKS)
    return _told(found, tuning, note)


def _first_that_fits(slices: int, tuning: TuningSettings, device: Device) -> TuningSettings | None:
    nodes = all_nodes()
    return next((each for each in _less_and_less(tuning) if fits(nodes, wanted(nodes, slices, each, device))), None)


def _less_and_less(tuning: TuningSettings) -> Iterator[TuningSettings]:
    yield tuning
    free = tuning.model_copy(update={"tokenizer_actors": None})
    yield free
    for models in range((tuning.model_actors or 1) - 1, 0, -1):
        yield free.model_copy(update={"model_actors": models})


def _told(found: TuningSettings, tuning: TuningSettings, note: Note) -> TuningSettings:
    if found != tuning:
        note("the machines that are left have no room for all actors that the settings name; going on with fewer")
    return found
