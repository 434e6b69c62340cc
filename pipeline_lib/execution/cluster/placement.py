"""Reserve room on the cluster for every actor of a run before one of them starts, for the models first."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import ray
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from pipeline_lib.engines.computation import model_threads
from pipeline_lib.errors import FaultError
from pipeline_lib.execution.cluster.autoscaling import bundle, bundles_of, requested_room
from pipeline_lib.execution.cluster.nodes import all_nodes, free_nodes
from pipeline_lib.messages import count
from pipeline_lib.planning.capacity import Allotment, Node, fits, nodes_in_words
from pipeline_lib.planning.resources import allot, gpus_per_model_actor, wanted
from pipeline_lib.settings.sections.tuning import Device, TuningSettings

Note = Callable[[str], None]

_SECONDS_BETWEEN_CHECKS = 0.5
# Ray counts what an earlier run has just given up as free only a moment later.
_SECONDS_TO_BECOME_FREE = 3.0
_SECONDS_TO_FIRST_NOTE = 5.0
_SECONDS_BETWEEN_NOTES = 60.0
_SECONDS_TO_PLACE = 60.0
# Machines of a cloud come within minutes, or there are none to have.
SECONDS_TO_GROW = 1800.0


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
    """Keep room for the actors of all stages for as long as the block runs; wait while others use it.

    Room is reserved stage by stage, so that no tokenizer takes what only a model can use. On a busy cluster, the
    default settings take what is free; what the settings name is waited for. Where the cluster is too small, its
    autoscaler is asked for more.

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
        allotment = _wait_for_room(slices, tuning, device, note)
        _reserve(allotment, groups)
        yield Room(allotment, tuple(groups))
    finally:
        for group in groups:
            with contextlib.suppress(ray.exceptions.RayError):  # where Ray is lost, that error matters more
                remove_placement_group(group)


def _wait_for_room(slices: int, tuning: TuningSettings, device: Device, note: Note) -> Allotment:
    """Return what fits into what is free, as soon as something does."""
    began = time.monotonic()
    next_note = began + _SECONDS_TO_FIRST_NOTE
    while True:
        most = grown(slices, tuning, device, note)
        free, now = free_nodes(), time.monotonic()
        allotment = wanted(free, slices, tuning, device)
        if fits(free, allotment) and (allotment == most or now - began >= _SECONDS_TO_BECOME_FREE):
            if allotment.model_actors < most.model_actors:
                actors = f"{allotment.model_actors} of {most.model_actors} model actors"
                note(f"others use a part of the cluster; going on with {actors}")
            return allotment
        if now >= next_note:
            next_note = now + _SECONDS_BETWEEN_NOTES
            free_now = nodes_in_words(free) or "nothing"
            note(f"waiting for others to end: {_least(tuning, device)}; free now: {free_now}")
        time.sleep(_SECONDS_BETWEEN_CHECKS)


def grown(slices: int, tuning: TuningSettings, device: Device, note: Note) -> Allotment:
    """Return what fits into the whole cluster, after it has grown if nothing fits yet; see `reserved`."""
    whole = all_nodes()
    allotment = wanted(whole, slices, tuning, device)
    if fits(whole, allotment):
        return allotment
    began = next_note = time.monotonic()
    with requested_room(bundles_of(allotment)) as is_refused:
        while not fits(whole, wanted(whole, slices, tuning, device)) and not is_refused():
            waited = time.monotonic() - began
            missing = f"{_least(tuning, device)}; there now: {nodes_in_words(whole) or 'nothing'}"
            if waited > SECONDS_TO_GROW:
                raise FaultError(f"the cluster did not grow within {SECONDS_TO_GROW / 60:.0f} minutes: {missing}")
            if began + waited >= next_note:
                next_note += _SECONDS_BETWEEN_NOTES
                note(f"waiting for the cluster to grow: {missing}")
            time.sleep(_SECONDS_BETWEEN_CHECKS)
            whole = all_nodes()
    return allot(whole, slices, tuning, device)


def _least(tuning: TuningSettings, device: Device) -> str:
    """Return in words what must be free before a run can start."""
    each = Node(model_threads(tuning), gpus_per_model_actor(tuning, device))
    return f"{count(tuning.model_actors or 1, 'model actor')} of {each} must fit, and what belongs to it"


def _reserve(allotment: Allotment, groups: list[Any]) -> None:
    """Have Ray keep the room of each stage in turn; append each placement group to `groups`."""
    deadline = time.monotonic() + _SECONDS_TO_PLACE
    for actors, each in allotment.stages:
        group = placement_group([bundle(each)] * actors, strategy="SPREAD")
        groups.append(group)
        if not group.wait(max(deadline - time.monotonic(), 1)):
            raise FaultError(
                f"Ray did not place {actors} actors of {each} each within {_SECONDS_TO_PLACE:.0f} seconds; "
                f"free now: {nodes_in_words(free_nodes())}"
            )
