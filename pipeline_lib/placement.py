"""Keep room on the cluster for every actor of a run before one of them starts, the model's first."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import ray
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from pipeline_lib.cluster import running_cluster
from pipeline_lib.config import Device, TuningSettings
from pipeline_lib.errors import FaultError, SettingsError
from pipeline_lib.resources import Allotment, Node, allot, gpus_per_model_actor, nodes_in_words
from pipeline_lib.words import amount, count

Note = Callable[[str], None]

_SECONDS_BETWEEN_LOOKS = 0.5
# What a run before has just given up is not counted as free at once.
_SECONDS_TO_BECOME_FREE = 3.0
_SECONDS_UNTIL_TOLD = 5.0
_SECONDS_BETWEEN_NOTES = 60.0
_SECONDS_TO_PLACE = 60.0


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
def reserved(slices: int, tuning: TuningSettings, note: Note) -> Iterator[Room]:
    """Keep room for the actors of all stages for as long as the block runs; wait for it where others use it.

    Room is kept stage by stage, so that no tokenizer takes what only a model can use. On a cluster that is busy the
    defaults take what is free; what the settings ask for is waited for.

    Args:
        slices: that are to be scored.
        tuning: what the settings ask for.
        note: told what is waited for, and where less than the whole cluster is taken.

    Raises:
        FaultError: Ray does not place the actors within a minute, though there is room.
        SettingsError: the cluster could not place them even if nobody else used it.
    """
    groups: list[Any] = []
    try:
        allotment = _waited_for(slices, tuning, note)
        _place(allotment, groups)
        yield Room(allotment, tuple(groups))
    finally:
        for group in groups:
            with contextlib.suppress(ray.exceptions.RayError):  # where Ray is lost, that is the news
                remove_placement_group(group)


def _waited_for(slices: int, tuning: TuningSettings, note: Note) -> Allotment:
    """Return what fits into what is free, once something does."""
    began = time.monotonic()
    next_note = began + _SECONDS_UNTIL_TOLD
    with _Wish() as wish:
        while True:
            whole, free, now = nodes(), _free(), time.monotonic()
            # Decided by all machines: that others use every GPU is no reason to take CPUs.
            settled = tuning.model_copy(update={"gpus_per_model_actor": gpus_per_model_actor(whole, tuning)})
            best = _fitting(whole, slices, settled, refuse=not _may_grow())
            found = _fitting(free, slices, settled)
            if found and (found == best or now - began >= _SECONDS_TO_BECOME_FREE):
                _tell_of_less(found, best, note)
                return found
            if best is None:
                wish.made(settled)
            if now >= next_note:
                next_note = now + _SECONDS_BETWEEN_NOTES
                what = "the cluster to grow" if best is None else "others to end"
                note(f"waiting for {what}: {_least(settled)}; free now: {nodes_in_words(free) or 'nothing'}")
            time.sleep(_SECONDS_BETWEEN_LOOKS)


def _fitting(there: list[Node], slices: int, tuning: TuningSettings, *, refuse: bool = False) -> Allotment | None:
    try:
        return allot(there, slices, tuning)
    except SettingsError:
        if refuse:
            raise
        return None


def _tell_of_less(found: Allotment, best: Allotment | None, note: Note) -> None:
    if best and found.model_actors < best.model_actors:
        took = f"{found.model_actors} of {best.model_actors} model actors"
        note(f"others use a part of the cluster; going on with {took}")


def _least(tuning: TuningSettings) -> str:
    """Return in words what must be free before a run can start."""
    each = Node(tuning.cpus_per_model_actor or 1, tuning.gpus_per_model_actor or 0)
    return f"{count(tuning.model_actors or 1, 'model actor')} of {each} must fit, and what belongs to it"


def _place(allotment: Allotment, groups: list[Any]) -> None:
    """Have Ray keep the room of each stage in turn; what it keeps is added to the groups."""
    deadline = time.monotonic() + _SECONDS_TO_PLACE
    for actors, each in allotment.stages:
        bundle = {name: number for name, number in (("CPU", each.cpus), ("GPU", each.gpus)) if number}
        group = placement_group([bundle] * actors, strategy="SPREAD")
        groups.append(group)
        if not group.wait(max(deadline - time.monotonic(), 1)):
            raise FaultError(
                f"Ray did not place {actors} actors of {each} each within {_SECONDS_TO_PLACE:.0f} seconds; "
                f"free now: {nodes_in_words(_free())}"
            )


class _Wish:
    """Room that is asked for and not used: what Ray can't place makes a cluster grow that can."""

    def __init__(self) -> None:
        self._group: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._withdraw()

    def made(self, tuning: TuningSettings) -> None:
        """Ask for the least that a run needs, unless that is asked for already."""
        if self._group:
            if self._group.wait(0):
                self._withdraw()  # a machine came: what it has is wanted for the actors
            return
        model = {"CPU": float(tuning.cpus_per_model_actor or 1), "GPU": float(tuning.gpus_per_model_actor or 0)}
        model = {name: number for name, number in model.items() if number}
        # A tokenizer has a CPU and a writer a part of one.
        others = [{"CPU": 1.0}] * ((tuning.tokenizer_actors or 1) + 1) if "GPU" in model else []
        self._group = placement_group([model] * (tuning.model_actors or 1) + others)

    def _withdraw(self) -> None:
        if self._group:
            remove_placement_group(self._group)
            self._group = None


def device_kind(tuning: TuningSettings, *, has_ray: bool) -> Device:
    """Return the kind of device that model actors will have: of the cluster that is joined, else of this machine.

    Args:
        tuning: what the settings ask for.
        has_ray: whether this process is connected to a Ray; else one will be started on this machine.
    """
    import torch

    if tuning.gpus_per_model_actor is not None:
        return "cuda" if tuning.gpus_per_model_actor > 0 else "cpu"
    if has_ray and not any(node.gpus for node in nodes()):
        return "cpu"
    # On this machine alone, what PyTorch can't use is left alone; on a cluster it is for its machines to say.
    is_cluster = has_ray and running_cluster() is not None
    return "cuda" if is_cluster or torch.cuda.is_available() else "cpu"


def settled(tuning: TuningSettings, device: Device) -> TuningSettings:
    """Return the settings with the GPUs of a model actor stated, for the device that was planned with."""
    gpus = 0.0 if device == "cpu" else tuning.gpus_per_model_actor or 1.0
    return tuning.model_copy(update={"gpus_per_model_actor": gpus})


def nodes() -> list[Node]:
    """Return what each machine of the cluster has, whoever uses it."""
    return [_node(node["Resources"]) for node in ray.nodes() if node["Alive"]]


def _free() -> list[Node]:
    return [_node(resources) for resources in ray._private.state.available_resources_per_node().values()]  # noqa: SLF001


def _node(resources: Mapping[str, float]) -> Node:
    return Node(resources.get("CPU", 0.0), resources.get("GPU", 0.0))


def _may_grow() -> bool:
    """Tell whether an autoscaler has machines of some kind to add."""
    config = ray._private.state.state.get_cluster_config()  # noqa: SLF001
    return bool(config and config.node_group_configs)


def with_usable_gpus(tuning: TuningSettings, note: Note) -> TuningSettings:
    """Return the settings for a Ray on this machine alone, without the GPUs that PyTorch can't use here.

    Raises:
        SettingsError: the settings ask for GPUs that are there and of no use.
    """
    import torch

    seen = sum(node.gpus for node in nodes())
    if tuning.gpus_per_model_actor == 0 or not seen or torch.cuda.is_available():
        return tuning
    why = f"Ray sees {amount(seen, 'GPU')} and PyTorch {torch.__version__} can use none"
    if tuning.gpus_per_model_actor:
        raise SettingsError(f"tuning.gpus_per_model_actor: {why}; set it to 0 to score on CPUs")
    note(f"{why}; scoring on CPUs")
    return tuning.model_copy(update={"gpus_per_model_actor": 0.0})
