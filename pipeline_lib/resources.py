"""How many actors of each stage run, and what each may use. Pure arithmetic."""

from dataclasses import dataclass, replace
from math import ceil

from pipeline_lib.config import Device, TuningSettings
from pipeline_lib.errors import SettingsError

_CPUS_PER_WRITER = 0.5
"""Beside a GPU."""


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


def allot(cpus: float, gpus: float, slices: int, tuning: TuningSettings) -> Allotment:
    """Share a machine or cluster between the stages; no stage gets more actors than there are slices.

    All stages run at once, so one task of each must fit beside all model actors; otherwise Ray would wait for
    ever without a word. Without GPUs each CPU takes its slices through all steps: stages apart would fight over
    the same CPUs, and each process costs seconds to start. `tuning.tokenizer_actors` keeps them apart there too.

    Raises:
        SettingsError: it does not fit.
    """
    per_actor = tuning.gpus_per_model_actor if tuning.gpus_per_model_actor is not None else float(gpus > 0)
    shared = _on_gpus(cpus, gpus, per_actor, tuning) if per_actor > 0 else _on_cpus(cpus, tuning)
    shared = _at_most(shared, slices, tuning)
    others = shared.tokenizer_actors * shared.cpus_per_tokenizer + shared.cpus_per_writer
    needed = shared.model_actors * shared.cpus_per_model_actor + (0 if shared.together else others)
    # Ray counts in ten-thousandths.
    if round(needed, 4) > cpus or round(shared.model_actors * per_actor, 4) > gpus:
        beside = "" if shared.together else f", {shared.tokenizer_actors} tokenizers and a writer"
        raise SettingsError(
            f"tuning: {shared.model_actors} model actors{beside} need {needed:g} CPUs and "
            f"{shared.model_actors * per_actor:g} GPUs; there are {cpus:g} and {gpus:g}"
        )
    return shared


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


def _on_cpus(cpus: float, tuning: TuningSettings) -> Allotment:
    threads = tuning.cpus_per_model_actor or 1
    actors = tuning.model_actors or max(int(cpus) // threads, 1)
    apart = tuning.tokenizer_actors is not None
    return Allotment(
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


def _on_gpus(cpus: float, gpus: float, per_actor: float, tuning: TuningSettings) -> Allotment:
    actors = tuning.model_actors or max(int(gpus / per_actor), 1)
    threads = tuning.cpus_per_model_actor or 1
    # A GPU can use several tokenizers; the rest of the CPUs is theirs, less half a one per GPU for writing.
    left = int(cpus) - actors * threads - ceil(actors * _CPUS_PER_WRITER)
    return Allotment(
        device="cuda",
        model_actors=actors,
        cpus_per_model_actor=threads,
        gpus_per_model_actor=per_actor,
        threads_per_model_actor=threads,
        tokenizer_actors=tuning.tokenizer_actors or max(min(left, 8 * actors), 1),
        cpus_per_tokenizer=1,
        writers=actors,
        cpus_per_writer=_CPUS_PER_WRITER,
    )
