"""Shares of a cluster: always within each machine, or refused by name."""

import random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline_lib.errors import SettingsError
from pipeline_lib.planning.capacity import Allotment, Node, fits
from pipeline_lib.planning.resources import allot, planned_device
from pipeline_lib.settings.sections.tuning import TuningSettings

OPTIONAL = st.none() | st.integers(1, 8)
TUNINGS = st.builds(
    lambda models, threads, gpus, tokenizers: TuningSettings(
        model_actors=models,
        cpus_per_model_actor=threads,
        gpus_per_model_actor=gpus,
        tokenizer_actors=tokenizers,
    ),
    OPTIONAL,
    OPTIONAL,
    st.none() | st.sampled_from([0.0, 0.25, 0.4, 0.5, 1.0, 2.0]),
    OPTIONAL,
)
NODES = st.lists(st.builds(Node, st.integers(0, 64), st.integers(0, 8)), min_size=1, max_size=6)


def share(nodes: list[Node], slices: int, tuning: TuningSettings) -> Allotment:
    """Share machines on the kind of device that is planned for them."""
    return allot(nodes, slices, tuning, planned_device(tuning, lambda: any(node.gpus for node in nodes)))


def place_anywhere(nodes: list[Node], shared: Allotment, rng: random.Random) -> None:
    """Place stage after stage as Ray may do it: each actor on whichever machine has room."""
    cpus = [round(node.cpus * 10_000) for node in nodes]
    cards = [[10_000] * round(node.gpus) for node in nodes]
    for actors, each in shared.stages:
        for _ in range(actors):
            where = [at for at in range(len(nodes)) if _has_room(cpus[at], cards[at], each)]
            assert where, f"no machine has room for {each}: {cpus}, {cards}"
            at = rng.choice(where)
            cpus[at] -= round(each.cpus * 10_000)
            _take(cards[at], each)


def _has_room(cpus: int, cards: list[int], each: Node) -> bool:
    if each.gpus >= 1:
        return cpus >= round(each.cpus * 10_000) and cards.count(10_000) >= each.gpus
    return cpus >= round(each.cpus * 10_000) and (each.gpus == 0 or max(cards, default=0) >= each.gpus * 10_000)


def _take(cards: list[int], each: Node) -> None:
    if each.gpus >= 1:
        for _ in range(round(each.gpus)):
            cards[cards.index(10_000)] = 0
    elif each.gpus:
        # A part goes where the least is left that is enough, as Ray does it.
        at = min((left, at) for at, left in enumerate(cards) if left >= round(each.gpus * 10_000))[1]
        cards[at] -= round(each.gpus * 10_000)


@given(nodes=NODES, slices=st.integers(0, 500), tuning=TUNINGS, rng=st.randoms(use_true_random=False))
def test_what_is_allotted_fits_machine_by_machine_or_is_refused(
    nodes: list[Node], slices: int, tuning: TuningSettings, rng: random.Random
) -> None:
    """Every actor of every stage must fit beside all the others, or Ray would wait for ever."""
    try:
        found = share(nodes, slices, tuning)
    except SettingsError as error:
        assume("need" in str(error))
        return
    place_anywhere(nodes, found, rng)
    assert fits(nodes, found)
    assert found.model_actors >= 1
    assert found.together == (found.writers == 0)


@given(cpus=st.integers(1, 256))
def test_every_cpu_of_a_machine_without_gpus_gets_a_model(cpus: int) -> None:
    found = share([Node(cpus, 0)], 1000, TuningSettings())
    assert (found.device, found.model_actors) == ("cpu", cpus)


@given(gpus=st.integers(1, 16))
def test_every_gpu_gets_a_model(gpus: int) -> None:
    found = share([Node(16 * gpus, gpus)], 1000, TuningSettings())
    assert (found.device, found.model_actors, found.gpus_per_model_actor) == ("cuda", gpus, 1)
    assert found.tokenizer_actors == 8 * gpus


def test_gpus_can_be_left_alone() -> None:
    assert share([Node(8, 2)], 1000, TuningSettings(gpus_per_model_actor=0)).device == "cpu"


def test_a_share_of_a_gpu_lets_several_actors_use_it() -> None:
    assert share([Node(16, 1)], 1000, TuningSettings(gpus_per_model_actor=0.25)).model_actors == 4
    assert share([Node(16, 2)], 1000, TuningSettings(gpus_per_model_actor=0.6)).model_actors == 2


def test_what_does_not_fit_is_refused_in_numbers() -> None:
    with pytest.raises(
        SettingsError, match=r"8 model actors, 1 tokenizer and a writer need 6\.6 CPUs .* there are 2"
    ):
        share([Node(2, 0)], 1000, TuningSettings(model_actors=8, tokenizer_actors=1))
    with pytest.raises(SettingsError, match=r"3 model actors need 3 CPUs .* there are 2"):
        share([Node(2, 0)], 1000, TuningSettings(model_actors=3))
    with pytest.raises(SettingsError, match=r"need .* and 2 GPUs; there are 8 and 1"):
        share([Node(8, 1)], 1000, TuningSettings(model_actors=2))
    with pytest.raises(SettingsError, match=r"gpus_per_model_actor: 1\.5: above 1 it must be a whole number"):
        share([Node(8, 4)], 1000, TuningSettings(gpus_per_model_actor=1.5))
    with pytest.raises(SettingsError, match=r"1 model actor, 5 tokenizers and a writer need 6\.5 CPUs"):
        share([Node(4, 1)], 1000, TuningSettings(model_actors=1, tokenizer_actors=5))


def test_an_actor_that_fits_into_no_single_machine_is_refused_though_the_sum_would_do() -> None:
    two_small = [Node(1, 0), Node(1, 0)]
    with pytest.raises(
        SettingsError,
        match=r"1 model actor needs 2 CPUs .* there are 2 and 0, and each actor must fit into one of the nodes: "
        r"2 of 1 CPU and 0 GPUs",
    ):
        share(two_small, 1000, TuningSettings(cpus_per_model_actor=2))
    with pytest.raises(SettingsError, match="each actor must fit into one of the nodes"):
        share([Node(8, 0), Node(0, 1)], 1000, TuningSettings())


@pytest.mark.parametrize(
    ("nodes", "models", "tokenizers"),
    [
        ([Node(8, 0), Node(4, 1)], 1, 8),
        ([Node(32, 0), Node(4, 1)], 1, 8),
        ([Node(16, 0), Node(4, 1), Node(4, 1)], 2, 16),
        ([Node(1, 1), Node(1, 1), Node(1, 1)], 1, 1),
    ],
)
def test_machines_with_cpus_beside_small_ones_with_gpus_leave_the_model_its_cpu(
    nodes: list[Node], models: int, tokenizers: int
) -> None:
    found = share(nodes, 1000, TuningSettings())
    assert (found.device, found.model_actors, found.tokenizer_actors) == ("cuda", models, tokenizers)


def test_no_actor_starts_for_nothing() -> None:
    found = share([Node(64, 0)], 3, TuningSettings())
    assert found.model_actors == 3
    found = share([Node(64, 0)], 3, TuningSettings(tokenizer_actors=2))
    assert (found.model_actors, found.tokenizer_actors, found.writers) == (3, 2, 3)
    found = share([Node(64, 8)], 3, TuningSettings())
    assert (found.model_actors, found.tokenizer_actors, found.writers) == (3, 3, 3)


def test_without_gpus_each_cpu_takes_its_slices_through_all_steps_unless_told_otherwise() -> None:
    assert share([Node(8, 0)], 100, TuningSettings()).together
    assert not share([Node(8, 0)], 100, TuningSettings(tokenizer_actors=1)).together
    assert not share([Node(8, 1)], 100, TuningSettings()).together


@given(gpus=st.integers(1, 64), cpus=st.integers(3, 32))
def test_every_gpu_of_a_cluster_has_room_for_its_writer(gpus: int, cpus: int) -> None:
    found = share([Node(cpus, 1)] * gpus, 100_000, TuningSettings())
    others = found.tokenizer_actors * found.cpus_per_tokenizer + found.writers * found.cpus_per_writer
    assert found.writers == gpus
    assert gpus * found.cpus_per_model_actor + others <= cpus * gpus
