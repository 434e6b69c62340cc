"""The plans of several nights: what they have in common is looked at once."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import ParamSpec, TypeVar

from pipeline_lib.engines.inspection.inspector import inspect_checkpoint
from pipeline_lib.errors import NightscoreError
from pipeline_lib.planning.discovery import Discovery
from pipeline_lib.planning.plan import Plan
from pipeline_lib.planning.planner import PacksOnGpus, make_plan
from pipeline_lib.settings.settings import Device, TuningSettings

_Arguments = ParamSpec("_Arguments")
_Answer = TypeVar("_Answer")


def make_plans(
    discoveries: Iterable[Discovery], device: Callable[[TuningSettings], Device], packs_on_gpus: PacksOnGpus
) -> list[Plan | NightscoreError]:
    """Return for each night its plan, or why it has none; checkpoint and devices are looked at once for all.

    Args:
        discoveries: of nights that differ in their paths alone.
        device: returns the kind of device that the model actors will have.
        packs_on_gpus: as for `make_plan`.
    """
    once = partial(make_plan, packs_on_gpus=_once(packs_on_gpus), inspect=_once(inspect_checkpoint))
    device = _once(device)
    plans: list[Plan | NightscoreError] = []
    for discovery in discoveries:
        try:
            plans.append(once(discovery, device(discovery.settings.tuning)))
        except NightscoreError as error:
            plans.append(error)
    return plans


def _once(ask: Callable[_Arguments, _Answer]) -> Callable[_Arguments, _Answer]:
    """Return a function that asks at its first call, and then gives the same answer or the same error."""
    known: list[_Answer | NightscoreError] = []

    def answer(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Answer:
        if not known:
            try:
                known.append(ask(*args, **kwargs))
            except NightscoreError as error:
                known.append(error)
        if isinstance(known[0], NightscoreError):
            raise known[0]
        return known[0]

    return answer
