"""Section `tuning`: speed and memory."""

from typing import Literal

from pydantic import Field

from pipeline_lib.settings.sections.section import Section

Device = Literal["cpu", "cuda"]


class TuningSettings(Section):
    """Settings for speed and memory that are rarely needed; null means the measured default."""

    rows_per_slice: int = Field(1024, ge=1, description="Rows in a slice: the unit of work and of resume.")
    tokens_per_batch: int | None = Field(
        None, ge=1, description="Token budget of a micro-batch, padding included. Null: by device."
    )
    model_actors: int | None = Field(None, ge=1, description="Null: one per GPU, or one per CPU without GPUs.")
    cpus_per_model_actor: int | None = Field(None, ge=1, description="CPU threads of a model actor. Null: 1.")
    gpus_per_model_actor: float | None = Field(
        None, ge=0, description="Null: 1 where the cluster has GPUs, else 0. 0 keeps the model on CPUs."
    )
    tokenizer_actors: int | None = Field(
        None,
        ge=1,
        description="Null: enough that a GPU never waits; on CPUs each model actor tokenizes for itself.",
    )
    reader_actors: int | None = Field(
        None,
        ge=0,
        description="Processes that only read, for all others, so that each byte is decoded once. "
        "Null: a few for a large input. 0: each process reads its own slices.",
    )
