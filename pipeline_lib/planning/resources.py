"""How many actors of each stage run, and which CPUs and GPUs each has. Pure arithmetic."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import ceil

from pipeline_lib.engines.computation import model_threads
from pipeline_lib.errors import SettingsError
from pipeline_lib.messages import amount, count
from pipeline_lib.planning.capacity import Allotment, Node, fits, most_actors, nodes_in_words, remaining
from pipeline_lib.settings.sections.tuning import Device, TuningSettings

_CPUS_PER_WRITER = 0.5
"""Beside a GPU."""
_TOKENIZERS_PER_GPU = 8


def allot(nodes: Sequence[Node], slices: int, tuning: TuningSettings, device: Device) -> Allotment:
    """Share the machines of a cluster between the stages; no stage gets more actors than there are slices.

    All stages run at once and each actor needs one machine, so an allotment fits machine by machine; if it did not,
    Ray would wait for ever without an error. Without GPUs each actor takes its slices through all steps: separate
    stages would compete for the same CPUs, and each process takes seconds to start. `tuning.tokenizer_actors`
    separates the stages there too.

    Raises:
        SettingsError: there are not enough CPUs or GPUs.
    """
    allotment = wanted(nodes, slices, tuning, device)
    if not fits(nodes, allotment):
        raise SettingsError(f"tuning: {_needed(allotment)}; {_available(nodes)}")
    return allotment


def wanted(nodes: Sequence[Node], slices: int, tuning: TuningSettings, device: Device) -> Allotment:
    """Return the allotment that the settings ask for; it may not fit, not even the smallest one that they allow.

    Raises:
        SettingsError: `tuning.gpus_per_model_actor` is impossible.
    """
    per_actor = gpus_per_model_actor(tuning, device)
    if per_actor > 1 and per_actor != int(per_actor):
        raise SettingsError(f"tuning.gpus_per_model_actor: {per_actor:g}: above 1 it must be a whole number")
    allotment = _on_gpus(nodes, per_actor, tuning) if per_actor > 0 else _on_cpus(nodes, tuning)
    return _at_most(allotment, slices, tuning)


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


def _at_most(allotment: Allotment, slices: int, tuning: TuningSettings) -> Allotment:
    """Return an allotment without actors that would have no slice; numbers in the settings are kept."""
    model_actors = tuning.model_actors or max(min(allotment.model_actors, slices), 1)
    if allotment.together:
        return replace(allotment, model_actors=model_actors)
    return replace(
        allotment,
        model_actors=model_actors,
        tokenizer_actors=tuning.tokenizer_actors or max(min(allotment.tokenizer_actors, slices), 1),
        writers=max(min(allotment.writers, slices), 1),
    )


def _on_cpus(nodes: Sequence[Node], tuning: TuningSettings) -> Allotment:
    threads = model_threads(tuning)
    actors = tuning.model_actors or max(sum(int(node.cpus) // threads for node in nodes), 1)
    apart = tuning.tokenizer_actors is not None
    allotment = Allotment(
        device="cpu",
        model_actors=actors,
        # Separate tokenizers and writers share a fifth of each CPU, since they are idle most of the time.
        cpus_per_model_actor=0.8 * threads if apart else threads,
        gpus_per_model_actor=0,
        threads_per_model_actor=threads,
        tokenizer_actors=tuning.tokenizer_actors or 0,
        cpus_per_tokenizer=0.1,
        writers=max(actors * threads // 8, 1) if apart else 0,
        cpus_per_writer=0.1,
    )
    return _with_fewer_writers(nodes, allotment) if apart else allotment


def _on_gpus(nodes: Sequence[Node], per_actor: float, tuning: TuningSettings) -> Allotment:
    """Return an allotment with as many model actors as fit beside a tokenizer and a writer."""
    threads = model_threads(tuning)
    most = tuning.model_actors or max(sum(most_actors(node, Node(threads, per_actor)) for node in nodes), 1)
    allotment = _beside_gpus(nodes, most, per_actor, tuning)
    for fewer in range(most - 1, 0, -1):
        if tuning.model_actors or fits(nodes, allotment):
            break
        allotment = _beside_gpus(nodes, fewer, per_actor, tuning)
    return allotment


def _beside_gpus(nodes: Sequence[Node], actors: int, per_actor: float, tuning: TuningSettings) -> Allotment:
    threads = model_threads(tuning)
    left = remaining(nodes, actors, Node(threads, per_actor)) or []
    # Tokenizers get the other CPUs, except half of one per GPU for writing.
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


def _with_fewer_writers(nodes: Sequence[Node], allotment: Allotment) -> Allotment:
    """Return an allotment with only the writers that fit beside the other actors, but at least one."""
    left: Sequence[Node] | None = nodes
    for actors, each in allotment.stages[:-1]:
        left = remaining(left or (), actors, each)
    room = sum(most_actors(node, Node(allotment.cpus_per_writer, 0)) for node in left or ())
    return replace(allotment, writers=max(min(allotment.writers, room), 1))


def _needed(allotment: Allotment) -> str:
    cpus = allotment.model_actors * allotment.cpus_per_model_actor
    beside = ""
    if not allotment.together:
        cpus += allotment.tokenizer_actors * allotment.cpus_per_tokenizer + allotment.cpus_per_writer
        beside = f", {count(allotment.tokenizer_actors, 'tokenizer')} and a writer"
    gpus = allotment.model_actors * allotment.gpus_per_model_actor
    actors = f"{count(allotment.model_actors, 'model actor')}{beside}"
    verb = "needs" if allotment.model_actors == 1 and not beside else "need"
    return f"{actors} {verb} {amount(cpus, 'CPU')} and {amount(gpus, 'GPU')}"


def _available(nodes: Sequence[Node]) -> str:
    whole = f"there are {sum(node.cpus for node in nodes):g} and {sum(node.gpus for node in nodes):g}"
    if sum(any(node) for node in nodes) < 2:
        return whole
    return f"{whole}, and each actor must fit into one of the nodes: {nodes_in_words(nodes)}"
