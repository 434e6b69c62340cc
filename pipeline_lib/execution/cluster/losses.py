"""Go on after a loss of machines: notice that the room which is kept is of no use, and reserve what is left."""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Self, TypeVar

import ray
from ray.util.placement_group import placement_group_table, remove_placement_group

from pipeline_lib.errors import FaultError, LostWorkerError, SettingsError
from pipeline_lib.execution.cluster.autoscaling import bundles_of, requested_room
from pipeline_lib.execution.cluster.nodes import all_nodes
from pipeline_lib.execution.cluster.placement import SECONDS_TO_GROW, Note, Room, reserved
from pipeline_lib.planning.capacity import fits
from pipeline_lib.planning.resources import wanted
from pipeline_lib.settings.settings import Device, TuningSettings

_SECONDS_TO_RETURN = 60.0
_SECONDS_BETWEEN_CHECKS = 1.0
_LOST = "RESCHEDULING"
"""What Ray says of a placement group from the loss of a machine until all of it has a place again."""

_T = TypeVar("_T")


def unless_stuck(results: Iterator[_T], room: Room) -> Iterator[_T]:
    """Yield results; give the room up when none comes for a minute while Ray has no place for a part of it.

    Ray would wait for ever for a machine in place of one that was lost, and keep the slices of its actors.

    Args:
        results: of the actors in the room.
        room: is of no use any more when a `LostWorkerError` was raised.

    Raises:
        LostWorkerError: the room was given up.
    """
    with _Watch(room) as watch:
        while True:
            watch.waiting_since = time.monotonic()
            try:
                result = next(results)
            except StopIteration:
                return
            except FaultError as error:
                if watch.gave_up:
                    raise LostWorkerError("no machine came in place of one that was lost") from error
                raise
            watch.waiting_since = None  # what is done with a result may take long
            yield result


class _Watch:
    def __init__(self, room: Room) -> None:
        self._room, self._is_over = room, threading.Event()
        self._lost_since: float | None = None
        self.waiting_since: float | None = None
        self.gave_up = False

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self.gave_up and not self._is_over.wait(_SECONDS_BETWEEN_CHECKS):
            with contextlib.suppress(ray.exceptions.RayError):  # where Ray is lost, the results say so
                self._check(time.monotonic())

    def _check(self, now: float) -> None:
        if not any(placement_group_table(group)["state"] == _LOST for group in self._room.groups):
            self._lost_since = None
            return
        self._lost_since = self._lost_since or now
        waiting_since = self.waiting_since
        if waiting_since is not None and now - max(waiting_since, self._lost_since) > _SECONDS_TO_RETURN:
            self.gave_up = True
            for group in self._room.groups:
                remove_placement_group(group)  # ends the actors in it, and so the results


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
