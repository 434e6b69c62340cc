"""What each contender gets, and what it returns."""

from dataclasses import dataclass

ROWS_PER_SLICE_ON_GPU = 8192
"""As the nightly job's settings have it."""


@dataclass(frozen=True)
class Task:
    """The work, the same for every contender."""

    texts: str
    """Parquet file with the columns `at` and `text`; no text is null."""
    model: str
    precision: str
    engine: str
    cpus: int
    device: str
    """`cpu` or `cuda`."""
    answers: str
    """Parquet file to write: `at`, `label` and `score`."""


@dataclass(frozen=True)
class Timed:
    """What a contender measures of itself."""

    loop_seconds: float
    """From the first text to the last answer, without start-up."""
