"""How many actors of each stage run, and what each may use. Pure arithmetic."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil, floor
from typing import NamedTuple

from pipeline_lib.errors import SettingsError
from pipeline_lib.messages import amount
from pipeline_lib.settings.settings import Device, TuningSettings

_CPUS_PER_WRITER = 0.5
"""Beside a GPU."""
_TOKENIZERS_PER_GPU = 8


class Node(NamedTuple):
    """What a machine has for actors, in the logical units that Ray schedules by."""

    cpus: float
    gpus: float

    def __str__(self) -> str:
        return f"{amount(self.cpus, 'CPU')} and {amount(self.gpus, 'GPU')}"


@dataclass(frozen=True)
class Allotment:
    """CPUs and GPUs of each stage, in the logical units that Ray schedules by."""

    device: Device
    model_actors: int
    cpus_per_model_actor: float
    gpus_per_model_actor: float
    threads_per_model_actor: int
    tokenizer_actors: int
    """0: the model's actors tokenize and write too."""
    cpus_per_tokenizer: float
    writers: int
    cpus_per_writer: float

    @property
    def together(self) -> bool:
        """Whether each model actor takes its slices through all steps, from reading to writing."""
        return self.tokenizer_actors == 0

    @property
    def stages(self) -> list[tuple[int, Node]]:
        """The actors of each stage and what one of them needs; the model's come first, since they fit least."""
        model = Node(self.cpus_per_model_actor, self.gpus_per_model_actor)
        others = [
            (self.tokenizer_actors, Node(self.cpus_per_tokenizer, 0)),
            (self.writers, Node(self.cpus_per_writer, 0)),
        ]
        return [(self.model_actors, model), *([] if self.together else others)]


def allot(nodes: Sequence[Node], slices: int, tuning: TuningSettings, device: Device) -> Allotment:
    """Share the machines of a cluster between the stages; no stage gets more actors than there are slices.

    All stages run at once, and an actor is on one machine as a whole, so what is allotted fits machine by machine;
    otherwise Ray would wait for ever without a word. Without GPUs each CPU takes its slices through all steps:
    stages apart would fight over the same CPUs, and each process costs seconds to start. `tuning.tokenizer_actors`
    keeps them apart there too.

    Raises:
        SettingsError: it does not fit.
    """
    shared = wanted(nodes, slices, tuning, device)
    if not fits(nodes, shared):
        raise SettingsError(f"tuning: {_needed(shared)}; {_there(nodes)}")
    return shared


def wanted(nodes: Sequence[Node], slices: int, tuning: TuningSettings, device: Device) -> Allotment:
    """Return what `allot` would, or the least that the settings allow where not even that fits.

    Raises:
        SettingsError: no machine could ever have it.
    """
    per_actor = gpus_per_model_actor(tuning, device)
    if per_actor > 1 and per_actor != int(per_actor):
        raise SettingsError(f"tuning.gpus_per_model_actor: {per_actor:g}: above 1 it must be a whole number")
    shared = _on_gpus(nodes, per_actor, tuning) if per_actor > 0 else _on_cpus(nodes, tuning)
    return _at_most(shared, slices, tuning)


def planned_device(tuning: TuningSettings, has_gpus: Callable[[], bool]) -> Device:
    """Return the kind of device of all model actors: what the settings ask for, else GPUs where there are any.

    Args:
        tuning: what the settings ask for.
        has_gpus: tells whether there are GPUs that can be used; called only where the settings leave it open.
    """
    gpus = tuning.gpus_per_model_actor
    return "cuda" if (has_gpus() if gpus is None else gpus > 0) else "cpu"


def gpus_per_model_actor(tuning: TuningSettings, device: Device) -> float:
    """Return the GPUs of a model actor on the planned kind of device; one where the settings leave it open."""
    return 0.0 if device == "cpu" else tuning.gpus_per_model_actor or 1.0


def fits(nodes: Sequence[Node], allotment: Allotment) -> bool:
    """Tell whether every actor of every stage has a machine, when they are placed stage by stage."""
    left: Sequence[Node] | None = nodes
    for actors, each in allotment.stages:
        left = _after(left, actors, each) if left is not None else None
    return left is not None


def _after(nodes: Sequence[Node], actors: int, each: Node) -> list[Node] | None:
    """Return what the machines have left when some like actors were placed, or None where they have no room."""
    left = []
    for node in nodes:
        here = min(actors, _room(node, each))
        actors -= here
        left.append(Node(round(node.cpus - here * each.cpus, 4), round(node.gpus - here * each.gpus, 4)))
    return None if actors else left


def _room(node: Node, each: Node) -> int:
    """Return how many like actors a machine has room for."""
    # Ray counts in ten-thousandths.
    by_cpus = floor(round(node.cpus / each.cpus, 4))
    if each.gpus == 0:
        return by_cpus
    if each.gpus >= 1:
        return min(by_cpus, floor(round(node.gpus / each.gpus, 4)))
    # A part of a GPU is of one GPU: two of 0.6 need two.
    whole, rest = divmod(round(node.gpus, 4), 1)
    return min(by_cpus, int(whole) * floor(round(1 / each.gpus, 4)) + floor(round(rest / each.gpus, 4)))


def _at_most(shared: Allotment, slices: int, tuning: TuningSettings) -> Allotment:
    """Return a share without actors that would start for nothing; what the settings ask for stays."""
    model_actors = tuning.model_actors or max(min(shared.model_actors, slices), 1)
    if shared.together:
        return replace(shared, model_actors=model_actors)
    return replace(
        shared,
        model_actors=model_actors,
        tokenizer_actors=tuning.tokenizer_actors or max(min(shared.tokenizer_actors, slices), 1),
        writers=max(min(shared.writers, slices), 1),
    )


def _on_cpus(nodes: Sequence[Node], tuning: TuningSettings) -> Allotment:
    threads = tuning.cpus_per_model_actor or 1
    actors = tuning.model_actors or max(sum(int(node.cpus) // threads for node in nodes), 1)
    apart = tuning.tokenizer_actors is not None
    shared = Allotment(
        device="cpu",
        model_actors=actors,
        # Apart, a fifth of each CPU is left to the tokenizers and writers, which are idle most of the time.
        cpus_per_model_actor=0.8 * threads if apart else threads,
        gpus_per_model_actor=0,
        threads_per_model_actor=threads,
        tokenizer_actors=tuning.tokenizer_actors or 0,
        cpus_per_tokenizer=0.1,
        writers=max(actors * threads // 8, 1) if apart else 0,
        cpus_per_writer=0.1,
    )
    return _with_fewer_writers(nodes, shared) if apart else shared


def _on_gpus(nodes: Sequence[Node], per_actor: float, tuning: TuningSettings) -> Allotment:
    """Return as many model actors as there is room for beside a tokenizer and a writer."""
    threads = tuning.cpus_per_model_actor or 1
    most = tuning.model_actors or max(sum(_room(node, Node(threads, per_actor)) for node in nodes), 1)
    found = _beside_gpus(nodes, most, per_actor, tuning)
    for fewer in range(most - 1, 0, -1):
        if tuning.model_actors or fits(nodes, found):
            break
        found = _beside_gpus(nodes, fewer, per_actor, tuning)
    return found


def _beside_gpus(nodes: Sequence[Node], actors: int, per_actor: float, tuning: TuningSettings) -> Allotment:
    threads = tuning.cpus_per_model_actor or 1
    left = _after(nodes, actors, Node(threads, per_actor)) or []
    # A GPU can use several tokenizers; the rest of the CPUs is theirs, less half a one per GPU for writing.
    room = sum(int(node.cpus) for node in left) - ceil(actors * _CPUS_PER_WRITER)
    return _with_fewer_writers(
        nodes,
        Allotment(
            device="cuda",
            model_actors=actors,
            cpus_per_model_actor=threads,
            gpus_per_model_actor=per_actor,
            threads_per_model_actor=threads,
            tokenizer_actors=tuning.tokenizer_actors or max(min(room, _TOKENIZERS_PER_GPU * actors), 1),
            cpus_per_tokenizer=1,
            writers=actors,
            cpus_per_writer=_CPUS_PER_WRITER,
        ),
    )


def _with_fewer_writers(nodes: Sequence[Node], shared: Allotment) -> Allotment:
    """Return a share with the writers that have room beside the others, but one at least."""
    left: Sequence[Node] | None = nodes
    for actors, each in shared.stages[:-1]:
        left = _after(left or (), actors, each)
    room = sum(_room(node, Node(shared.cpus_per_writer, 0)) for node in left or ())
    return replace(shared, writers=max(min(shared.writers, room), 1))


def _needed(shared: Allotment) -> str:
    others = 0 if shared.together else shared.tokenizer_actors * shared.cpus_per_tokenizer + shared.cpus_per_writer
    cpus = shared.model_actors * shared.cpus_per_model_actor + others
    beside = "" if shared.together else f", {shared.tokenizer_actors} tokenizers and a writer"
    gpus = shared.model_actors * shared.gpus_per_model_actor
    return f"{shared.model_actors} model actors{beside} need {cpus:g} CPUs and {gpus:g} GPUs"


def _there(nodes: Sequence[Node]) -> str:
    whole = f"there are {sum(node.cpus for node in nodes):g} and {sum(node.gpus for node in nodes):g}"
    if sum(any(node) for node in nodes) < 2:
        return whole
    return f"{whole}, and each actor must fit into one of the nodes: {nodes_in_words(nodes)}"


def nodes_in_words(nodes: Sequence[Node]) -> str:
    """Return what machines have, like ones together.

    >>> nodes_in_words([Node(4, 1), Node(8, 0), Node(4, 1)])
    '2 of 4 CPUs and 1 GPU, 1 of 8 CPUs and 0 GPUs'
    """
    return ", ".join(f"{count} of {node}" for node, count in Counter(nodes).items() if any(node))
