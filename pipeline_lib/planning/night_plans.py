"""The plans of several nights, or of several models: what they have in common is looked at once."""

from collections.abc import Callable, Hashable, Iterable
from functools import partial
from typing import ParamSpec, TypeVar

from pipeline_lib.engines.inspection.inspector import inspect_checkpoint
from pipeline_lib.errors import NightscoreError
from pipeline_lib.planning.discovery import Discovery
from pipeline_lib.planning.plan import Plan
from pipeline_lib.planning.planner import PacksOnGpus, make_plan
from pipeline_lib.settings.sections.tuning import Device, TuningSettings

_Arguments = ParamSpec("_Arguments")
_Answer = TypeVar("_Answer")


def make_plans(
    discoveries: Iterable[Discovery], device: Callable[[TuningSettings], Device], packs_on_gpus: PacksOnGpus
) -> list[Plan | NightscoreError]:
    """Return for each discovery its plan, or why there is none; what some have in common is looked at once for all.

    Args:
        discoveries: of nights, of models, or of both; those of one model differ in their paths alone.
        device: returns the kind of device that the model actors will have.
        packs_on_gpus: as for `make_plan`.
    """
    of_settings = partial(_once_for_each, key=lambda settings, *_: settings.model)
    once = partial(make_plan, packs_on_gpus=of_settings(packs_on_gpus), inspect=of_settings(inspect_checkpoint))
    device = _once_for_each(device, lambda _: None)
    plans: list[Plan | NightscoreError] = []
    for discovery in discoveries:
        try:
            plans.append(once(discovery, device(discovery.settings.tuning)))
        except NightscoreError as error:
            plans.append(error)
    return plans


def _once_for_each(
    ask: Callable[_Arguments, _Answer], key: Callable[..., Hashable]
) -> Callable[_Arguments, _Answer]:
    """Return a function that asks once for each key of its arguments, and then gives the same answer or error."""
    known: dict[Hashable, _Answer | NightscoreError] = {}

    def answer(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Answer:
        about = key(*args, **kwargs)
        if about not in known:
            try:
                known[about] = ask(*args, **kwargs)
            except NightscoreError as error:
                known[about] = error
        found = known[about]
        if isinstance(found, NightscoreError):
            raise found
        return found

    return answer
