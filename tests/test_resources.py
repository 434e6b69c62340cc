"""Shares of a machine: always within it, or refused by name."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline_lib.config import TuningSettings
from pipeline_lib.errors import SettingsError
from pipeline_lib.resources import allot

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
    st.none() | st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.0]),
    OPTIONAL,
)


@given(cpus=st.integers(1, 256), gpus=st.integers(0, 16), slices=st.integers(0, 500), tuning=TUNINGS)
def test_what_is_allotted_fits_or_is_refused(cpus: int, gpus: int, slices: int, tuning: TuningSettings) -> None:
    """One task of every stage must fit beside all the others, or Ray would wait for ever."""
    try:
        found = allot(cpus, gpus, slices, tuning)
    except SettingsError as error:
        assume("need" in str(error))
        return
    used = found.model_actors * found.cpus_per_model_actor + found.tokenizer_actors * found.cpus_per_tokenizer
    assert used + (0 if found.together else found.cpus_per_writer) <= cpus + 1e-6
    assert found.model_actors * found.gpus_per_model_actor <= gpus
    assert found.model_actors >= 1
    assert found.together == (found.writers == 0)


@given(cpus=st.integers(1, 256))
def test_every_cpu_of_a_machine_without_gpus_gets_a_model(cpus: int) -> None:
    found = allot(cpus, 0, 1000, TuningSettings())
    assert (found.device, found.model_actors) == ("cpu", cpus)


@given(gpus=st.integers(1, 16))
def test_every_gpu_gets_a_model(gpus: int) -> None:
    found = allot(16 * gpus, gpus, 1000, TuningSettings())
    assert (found.device, found.model_actors, found.gpus_per_model_actor) == ("cuda", gpus, 1)
    assert found.tokenizer_actors == 8 * gpus


def test_gpus_can_be_left_alone() -> None:
    assert allot(8, 2, 1000, TuningSettings(gpus_per_model_actor=0)).device == "cpu"


def test_a_share_of_a_gpu_lets_several_actors_use_it() -> None:
    assert allot(16, 1, 1000, TuningSettings(gpus_per_model_actor=0.25)).model_actors == 4


def test_what_does_not_fit_is_refused_in_numbers() -> None:
    with pytest.raises(
        SettingsError, match=r"8 model actors, 1 tokenizers and a writer need 6\.6 CPUs .* there are 2"
    ):
        allot(2, 0, 1000, TuningSettings(model_actors=8, tokenizer_actors=1))
    with pytest.raises(SettingsError, match=r"3 model actors need 3 CPUs .* there are 2"):
        allot(2, 0, 1000, TuningSettings(model_actors=3))
    with pytest.raises(SettingsError, match=r"need .* and 2 GPUs; there are 8 and 1"):
        allot(8, 1, 1000, TuningSettings(model_actors=2))


def test_no_actor_starts_for_nothing() -> None:
    found = allot(64, 0, 3, TuningSettings())
    assert found.model_actors == 3
    found = allot(64, 0, 3, TuningSettings(tokenizer_actors=2))
    assert (found.model_actors, found.tokenizer_actors, found.writers) == (3, 2, 3)
    found = allot(64, 8, 3, TuningSettings())
    assert (found.model_actors, found.tokenizer_actors, found.writers) == (3, 3, 3)


def test_without_gpus_each_cpu_takes_its_slices_through_all_steps_unless_told_otherwise() -> None:
    assert allot(8, 0, 100, TuningSettings()).together
    assert not allot(8, 0, 100, TuningSettings(tokenizer_actors=1)).together
    assert not allot(8, 1, 100, TuningSettings()).together


@given(gpus=st.integers(1, 64), cpus=st.integers(3, 32))
def test_every_gpu_of_a_cluster_has_room_for_its_writer(gpus: int, cpus: int) -> None:
    found = allot(cpus * gpus, gpus, 100_000, TuningSettings())
    others = found.tokenizer_actors * found.cpus_per_tokenizer + found.writers * found.cpus_per_writer
    assert found.writers == gpus
    assert gpus * found.cpus_per_model_actor + others <= cpus * gpus
