"""Which actors fit on which machines. Pure arithmetic in the logical units that Ray schedules by."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import floor
from typing import NamedTuple

from pipeline_lib.messages import amount
from pipeline_lib.settings.sections.tuning import Device


class Node(NamedTuple):
    """What a machine has for actors, or what an actor needs."""

    cpus: float
    gpus: float

    def __str__(self) -> str:
        return f"{amount(self.cpus, 'CPU')} and {amount(self.gpus, 'GPU')}"


@dataclass(frozen=True)
class Allotment:
    """The actors of each stage, and their CPUs and GPUs."""

    device: Device
    model_actors: int
    cpus_per_model_actor: float
    gpus_per_model_actor: float
    threads_per_model_actor: int
    tokenizer_actors: int
    """0: the model actors tokenize and write too."""
    cpus_per_tokenizer: float
    writers: int
    cpus_per_writer: float

    @property
    def together(self) -> bool:
        """Whether each model actor takes its slices through all steps, from reading to writing."""
        return self.tokenizer_actors == 0

    @property
    def stages(self) -> list[tuple[int, Node]]:
        """The number of actors of each stage and what one of them needs; the largest ones come first."""
        model = Node(self.cpus_per_model_actor, self.gpus_per_model_actor)
        others = [
            (self.tokenizer_actors, Node(self.cpus_per_tokenizer, 0)),
            (self.writers, Node(self.cpus_per_writer, 0)),
        ]
        return [(self.model_actors, model), *([] if self.together else others)]


def fits(nodes: Sequence[Node], allotment: Allotment) -> bool:
    """Tell whether every actor of every stage has room on a machine, when they are placed stage by stage."""
    free: Sequence[Node] | None = nodes
    for actors, needs in allotment.stages:
        free = remaining(free, actors, needs) if free is not None else None
    return free is not None


def remaining(nodes: Sequence[Node], actors: int, needs: Node) -> list[Node] | None:
    """Return what is free on the machines beside some equal actors, or None if not all of them fit."""
    free = []
    for node in nodes:
        here = min(actors, most_actors(node, needs))
        actors -= here
        free.append(Node(round(node.cpus - here * needs.cpus, 4), round(node.gpus - here * needs.gpus, 4)))
    return None if actors else free


def most_actors(node: Node, needs: Node) -> int:
    """Return how many equal actors fit on a machine."""
    # Ray counts in ten-thousandths.
    by_cpus = floor(round(node.cpus / needs.cpus, 4))
    if needs.gpus == 0:
        return by_cpus
    if needs.gpus >= 1:
        return min(by_cpus, floor(round(node.gpus / needs.gpus, 4)))
    # A share is taken from one GPU: two actors of 0.6 need two GPUs.
    whole, rest = divmod(round(node.gpus, 4), 1)
    return min(by_cpus, int(whole) * floor(round(1 / needs.gpus, 4)) + floor(round(rest / needs.gpus, 4)))


def nodes_in_words(nodes: Sequence[Node]) -> str:
    """Return what machines have, equal ones together.

    >>> nodes_in_words([Node(4, 1), Node(8, 0), Node(4, 1)])
    '2 of 4 CPUs and 1 GPU, 1 of 8 CPUs and 0 GPUs'
    """
    return ", ".join(f"{count} of {node}" for node, count in Counter(nodes).items() if any(node))
