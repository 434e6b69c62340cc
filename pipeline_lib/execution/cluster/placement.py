"""Keep room on the cluster for every actor of a run before one of them starts, the model's first."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import ray
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from pipeline_lib.engines.torch_engine import has_gpu
from pipeline_lib.errors import FaultError, SettingsError
from pipeline_lib.execution.cluster.address import running_cluster
from pipeline_lib.execution.cluster.autoscaling import asked_for
from pipeline_lib.messages import amount, count
from pipeline_lib.planning.resources import (
    Allotment,
    Node,
    allot,
    fits,
    gpus_per_model_actor,
    nodes_in_words,
    wanted,
)
from pipeline_lib.settings.settings import Device, TuningSettings

Note = Callable[[str], None]

_SECONDS_BETWEEN_LOOKS = 0.5
# What a run before has just given up is not counted as free at once.
_SECONDS_TO_BECOME_FREE = 3.0
_SECONDS_UNTIL_TOLD = 5.0
_SECONDS_BETWEEN_NOTES = 60.0
_SECONDS_TO_PLACE = 60.0
# Machines of a cloud come within minutes, or there are none to have.
_SECONDS_TO_GROW = 1800.0


@dataclass(frozen=True)
class Room:
    """The actors that a run may have, and the room that Ray keeps for them."""

    allotment: Allotment
    groups: tuple[Any, ...]
    """Ray's placement groups: of the models, then of the tokenizers and of the writers where these are apart."""

    def strategy(self, stage: int) -> PlacementGroupSchedulingStrategy:
        """Return what puts the actors of a stage into its room: 0 the model, 1 the tokenizer, 2 the writer."""
        return PlacementGroupSchedulingStrategy(self.groups[stage])

    @property
    def nodes(self) -> set[str]:
        """The ids of the machines that the room is on."""
        tables = [ray.util.placement_group_table(group) for group in self.groups]
        return {node for table in tables for node in table["bundles_to_node_id"].values()}


@contextlib.contextmanager
def reserved(slices: int, tuning: TuningSettings, device: Device, note: Note) -> Iterator[Room]:
    """Keep room for the actors of all stages for as long as the block runs; wait for it where others use it.

    Room is kept stage by stage, so that no tokenizer takes what only a model can use. On a cluster that is busy the
    defaults take what is free; what the settings ask for is waited for, and where the cluster is too small,
    its autoscaler is asked for it.

    Args:
        slices: that are to be scored.
        tuning: what the settings ask for.
        device: as planned.
        note: told what is waited for, and where less than the whole cluster is taken.

    Raises:
        FaultError: Ray does not place the actors within a minute, though there is room, or an autoscaler that
            has machines for them does not bring them within half an hour.
        SettingsError: the cluster could not place them even if nobody else used it, and does not grow.
    """
    groups: list[Any] = []
    try:
        allotment = _waited_for(slices, tuning, device, note)
        _place(allotment, groups)
        yield Room(allotment, tuple(groups))
    finally:
        for group in groups:
            with contextlib.suppress(ray.exceptions.RayError):  # where Ray is lost, that is the news
                remove_placement_group(group)


def _waited_for(slices: int, tuning: TuningSettings, device: Device, note: Note) -> Allotment:
    """Return what fits into what is free, once something does."""
    began = time.monotonic()
    next_note = began + _SECONDS_UNTIL_TOLD
    while True:
        best = _grown(slices, tuning, device, note)
        free, now = _free(), time.monotonic()
        found = wanted(free, slices, tuning, device)
        if fits(free, found) and (found == best or now - began >= _SECONDS_TO_BECOME_FREE):
            _tell_of_less(found, best, note)
            return found
        if now >= next_note:
            next_note = now + _SECONDS_BETWEEN_NOTES
            free_now = nodes_in_words(free) or "nothing"
            note(f"waiting for others to end: {_least(tuning, device)}; free now: {free_now}")
        time.sleep(_SECONDS_BETWEEN_LOOKS)


def _grown(slices: int, tuning: TuningSettings, device: Device, note: Note) -> Allotment:
    """Return what fits into the whole cluster, once it has grown where it must."""
    whole = nodes()
    least = wanted(whole, slices, tuning, device)
    if fits(whole, least):
        return least
    began = next_note = time.monotonic()
    with asked_for([_bundle(each) for actors, each in least.stages for _ in range(actors)]) as is_refused:
        while not fits(whole, wanted(whole, slices, tuning, device)) and not is_refused():
            waited = time.monotonic() - began
            missing = f"{_least(tuning, device)}; there now: {nodes_in_words(whole) or 'nothing'}"
            if waited > _SECONDS_TO_GROW:
                raise FaultError(f"the cluster did not grow within {_SECONDS_TO_GROW / 60:.0f} minutes: {missing}")
            if began + waited >= next_note:
                next_note += _SECONDS_BETWEEN_NOTES
                note(f"waiting for the cluster to grow: {missing}")
            time.sleep(_SECONDS_BETWEEN_LOOKS)
            whole = nodes()
    return allot(whole, slices, tuning, device)


def _tell_of_less(found: Allotment, best: Allotment, note: Note) -> None:
    if found.model_actors < best.model_actors:
        took = f"{found.model_actors} of {best.model_actors} model actors"
        note(f"others use a part of the cluster; going on with {took}")


def _least(tuning: TuningSettings, device: Device) -> str:
    """Return in words what must be free before a run can start."""
    each = Node(tuning.cpus_per_model_actor or 1, gpus_per_model_actor(tuning, device))
    return f"{count(tuning.model_actors or 1, 'model actor')} of {each} must fit, and what belongs to it"


def _place(allotment: Allotment, groups: list[Any]) -> None:
    """Have Ray keep the room of each stage in turn; what it keeps is added to the groups."""
    deadline = time.monotonic() + _SECONDS_TO_PLACE
    for actors, each in allotment.stages:
        group = placement_group([_bundle(each)] * actors, strategy="SPREAD")
        groups.append(group)
        if not group.wait(max(deadline - time.monotonic(), 1)):
            raise FaultError(
                f"Ray did not place {actors} actors of {each} each within {_SECONDS_TO_PLACE:.0f} seconds; "
                f"free now: {nodes_in_words(_free())}"
            )


def _bundle(each: Node) -> dict[str, float]:
    return {name: number for name, number in (("CPU", each.cpus), ("GPU", each.gpus)) if number}


def has_usable_gpus(*, has_ray: bool) -> bool:
    """Tell whether model actors can have GPUs: of the cluster that is joined, else of this machine.

    Args:
        has_ray: whether this process is connected to a Ray; else one will be started on this machine.
    """
    if has_ray and not any(node.gpus for node in nodes()):
        return False
    # Of a cluster's GPUs this machine knows no more; of its own, those that PyTorch can't use don't count.
    return (has_ray and running_cluster() is not None) or has_gpu()


def nodes() -> list[Node]:
    """Return what each machine of the cluster has, whoever uses it."""
    return [_node(node["Resources"]) for node in ray.nodes() if node["Alive"]]


def _free() -> list[Node]:
    return [_node(resources) for resources in ray._private.state.available_resources_per_node().values()]  # noqa: SLF001


def _node(resources: Mapping[str, float]) -> Node:
    return Node(resources.get("CPU", 0.0), resources.get("GPU", 0.0))


def check_own_gpus(tuning: TuningSettings, note: Note) -> None:
    """Say where GPUs of a Ray on this machine alone are not used, since PyTorch can't use them.

    Raises:
        SettingsError: the settings ask for these GPUs.
    """
    import torch

    gpus = sum(node.gpus for node in nodes())
    if tuning.gpus_per_model_actor == 0 or not gpus or has_gpu():
        return
    why = f"Ray sees {amount(gpus, 'GPU')} and PyTorch {torch.__version__} can use none"
    if tuning.gpus_per_model_actor:
        raise SettingsError(f"tuning.gpus_per_model_actor: {why}; set it to 0 to score on CPUs")
    note(f"{why}; scoring on CPUs")
