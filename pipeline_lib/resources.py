"""How many actors of each stage run, and what each may use. Pure arithmetic."""

from dataclasses import dataclass, replace

from pipeline_lib.config import TuningSettings
from pipeline_lib.errors import SettingsError


@dataclass(frozen=True)
class Allotment:
    """CPUs and GPUs of each stage, in the logical units that Ray schedules by."""

    device: str
    model_actors: int
    cpus_per_model_actor: float
    gpus_per_model_actor: float
    threads_per_model_actor: int
    tokenizer_actors: int
    cpus_per_tokenizer: float
    writers: int
    cpus_per_writer: float


def allot(cpus: float, gpus: float, slices: int, tuning: TuningSettings) -> Allotment:
    """Share a machine or cluster between the stages; no stage gets more actors than there are slices.

    All stages run at once, so one task of each must fit beside all model actors; otherwise Ray would wait for
    ever without a word. Without GPUs the model takes nearly all: tokenizing and writing cost a few percent.

    Raises:
        SettingsError: it does not fit.
    """
    per_actor = tuning.gpus_per_model_actor if tuning.gpus_per_model_actor is not None else float(gpus > 0)
    shared = _on_gpus(cpus, gpus, per_actor, tuning) if per_actor > 0 else _on_cpus(cpus, tuning)
    shared = _at_most(shared, slices, tuning)
    needed = (
        shared.model_actors * shared.cpus_per_model_actor
        + shared.tokenizer_actors * shared.cpus_per_tokenizer
        + shared.cpus_per_writer
    )
    # Ray counts in ten-thousandths.
    if round(needed, 4) > cpus or round(shared.model_actors * per_actor, 4) > gpus:
        raise SettingsError(
            f"tuning: {shared.model_actors} model actors, {shared.tokenizer_actors} tokenizers and a writer "
            f"need {needed:g} CPUs and {shared.model_actors * per_actor:g} GPUs; there are {cpus:g} and {gpus:g}"
        )
    return shared


def _at_most(shared: Allotment, slices: int, tuning: TuningSettings) -> Allotment:
    """Return a share without actors that would start for nothing; what the settings ask for stays."""
    return replace(
        shared,
        model_actors=tuning.model_actors or max(min(shared.model_actors, slices), 1),
        tokenizer_actors=tuning.tokenizer_actors or max(min(shared.tokenizer_actors, slices), 1),
        writers=max(min(shared.writers, slices), 1),
    )


def _on_cpus(cpus: float, tuning: TuningSettings) -> Allotment:
    threads = tuning.cpus_per_model_actor or 1
    actors = tuning.model_actors or max(int(cpus) // threads, 1)
    tokenizers = tuning.tokenizer_actors or max(actors * threads // 8, 1)
    return Allotment(
        device="cpu",
        model_actors=actors,
        # A fifth of each CPU is left to the tokenizers and writers, which are idle most of the time.
        cpus_per_model_actor=0.8 * threads,
        gpus_per_model_actor=0,
        threads_per_model_actor=threads,
        tokenizer_actors=tokenizers,
        cpus_per_tokenizer=0.1,
        writers=max(actors * threads // 8, 1),
        cpus_per_writer=0.1,
    )


def _on_gpus(cpus: float, gpus: float, per_actor: float, tuning: TuningSettings) -> Allotment:
    actors = tuning.model_actors or max(int(gpus / per_actor), 1)
    threads = tuning.cpus_per_model_actor or 1
    # A GPU can use several tokenizers; the rest of the CPUs is theirs, less one for writing.
    left = int(cpus) - actors * threads - 1
    return Allotment(
        device="cuda",
        model_actors=actors,
        cpus_per_model_actor=threads,
        gpus_per_model_actor=per_actor,
        threads_per_model_actor=threads,
        tokenizer_actors=tuning.tokenizer_actors or max(min(left, 8 * actors), 1),
        cpus_per_tokenizer=1,
        writers=actors,
        cpus_per_writer=0.5,
    )
