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
    calibration: str | None = None
    """Parquet file with texts on which int8 is calibrated."""

    @property
    def torch_precision(self) -> str:
        """The precision of those that compute by PyTorch, which has no int8 of this kind."""
        return torch_precision(self.precision)


def torch_precision(precision: str) -> str:
    """Return the precision that PyTorch computes in beside ours; beside int8 that is float32."""
    return "float32" if precision == "int8" else precision


@dataclass(frozen=True)
class Timed:
    """What a contender measures of itself."""

    loop_seconds: float
    """From the first text to the last answer, without start-up."""
