"""The interface of all engines: token ids in, logits out; and a batch that fails is computed by halves.

Of a model with an embedding (`engines.embedding`), the logits of a row have its embedding behind them.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.engines import batching
from pipeline_lib.errors import DeviceError, FaultError

Ids = NDArray[np.int32]
Rows = NDArray[np.int64]
Floats = NDArray[np.float32]
Fetch = Callable[[], Floats]

EMBEDDING_TOLERANCE = 1e-5
"""How far an embedding in float32 may be from that of the row alone, relative where its numbers are above 1."""


class Engine(ABC):
    """A sequence-classification model, ready to compute.

    Args:
        inputs: the inputs that the checkpoint's tokenizer gives its model (`model_input_names`).
    """

    is_full_precision: bool
    """Whether it computes in float32."""
    float32_bytes: int = 0
    """Memory of a copy of the model in float32, where that is on the same GPU."""

    def __init__(self, inputs: Sequence[str]) -> None:
        self._takes_mask = "attention_mask" in inputs
        self._takes_types = "token_type_ids" in inputs

    @abstractmethod
    def logits(self, rows: Sequence[Ids], types: Sequence[Ids]) -> Floats:
        """Return logits of shape [rows, labels] in float32; with an embedding of shape [rows, labels + width].

        Args:
            rows: token ids, each of shape [tokens of that row].
            types: token type ids of the same shapes; ignored where the model takes none.

        Raises:
            torch.OutOfMemoryError: the batch is too large for the device.
        """

    def start(self, rows: Sequence[Ids], types: Sequence[Ids]) -> Fetch:
        """Begin to compute, and return a function that waits for the logits; an engine on a CPU is done by then."""
        logits = self.logits(rows, types)
        return lambda: logits

    def check(self, probe: Sequence[int]) -> None:
        """Compute a text that is known to work.

        Args:
            probe: token ids that the model has answered before.

        Raises:
            DeviceError: the model fails on it now.
        """
        ids = np.array(probe, np.int32)
        try:
            self.logits([ids], [np.zeros_like(ids)])
        except Exception as error:
            raise DeviceError(f"the model fails on every text: {type(error).__name__}: {error!s:.200}") from error

    def padded(self, rows: Sequence[Ids], types: Sequence[Ids], pad: int) -> dict[str, NDArray[np.int64]]:
        """Return a batch as the model's forward takes it, every array of shape [rows, longest]."""
        ids, mask = batching.padded(rows, pad)
        arrays = {"input_ids": ids}
        if self._takes_mask:
            arrays["attention_mask"] = mask
        if self._takes_types:
            arrays["token_type_ids"], _ = batching.padded(types, 0)
        return arrays


def unused_id(rows: Sequence[Ids]) -> int:
    """Return the smallest token id that no row holds; a batch holds fewer ids than the vocabulary has."""
    present = np.unique(np.concatenate(rows))
    gaps = np.flatnonzero(present != np.arange(len(present)))
    return int(gaps[0]) if len(gaps) else len(present)


def largest_difference(answers: Floats, expected: Floats, width: int = 0) -> float:
    """Return the largest difference between logits, in units of the largest of them where that is above 1.

    Args:
        answers: logits, and the embeddings behind them; the last axis may be the only one.
        expected: the same shape.
        width: of an embedding, which is compared in units of its own largest number.
    """
    labels = answers.shape[-1] - width
    logits = _difference(answers[..., :labels], expected[..., :labels])
    return max(logits, _difference(answers[..., labels:], expected[..., labels:])) if width else logits


def are_close(answers: Floats, expected: Floats, tolerance: float, width: int = 0) -> bool:
    """Tell whether logits are equal but for the order of summing; those above 1 may differ by more.

    Embeddings may differ by no more than `EMBEDDING_TOLERANCE`. The arguments are as in `largest_difference`.
    """
    labels = answers.shape[-1] - width
    if not _difference(answers[..., :labels], expected[..., :labels]) <= tolerance:
        return False
    allowed = min(tolerance, EMBEDDING_TOLERANCE)
    return not width or _difference(answers[..., labels:], expected[..., labels:]) <= allowed


def _difference(values: Floats, expected: Floats) -> float:
    return float(np.abs(values - expected).max() / max(1.0, float(np.abs(expected).max())))


def no_cache_option(model: Any) -> dict[str, bool]:
    """Return the option that stops a causal model from keeping its keys and values, which are not used again."""
    return {"use_cache": False} if "use_cache" in inspect.signature(model.forward).parameters else {}


def compute_by_halves(
    compute: Callable[[Rows], Floats], batch: Rows, alone: Callable[[Rows, Exception], Floats]
) -> Floats:
    """Compute a batch; when that fails, its halves, and theirs.

    A batch fails when the device runs out of memory, when a model requires its rows to be alike (BART, for example,
    the same number of end tokens in each), or when a row is too much for the model.

    Args:
        compute: takes row numbers and returns an array whose first axis is those rows.
        batch: the row numbers, at least one.
        alone: computes a row that failed on its own, or returns a result in its place.

    Raises:
        FaultError: a single row is too large for the device.
    """
    try:
        return compute(batch)
    except Exception as error:  # noqa: BLE001 - a model's own code may raise anything
        if len(batch) == 1 and is_out_of_memory(error):
            raise FaultError(
                f"a single text does not fit into the device's memory; lower model.max_tokens: {error}"
            ) from None
        if len(batch) == 1:
            return alone(batch, error)
    # Outside the except block, whose traceback would keep the memory of the failed batch.
    middle = len(batch) // 2
    return np.concatenate(
        [compute_by_halves(compute, batch[:middle], alone), compute_by_halves(compute, batch[middle:], alone)]
    )


def is_out_of_memory(error: Exception) -> bool:
    """Tell whether an error means that memory ran out, of a GPU or of the machine."""
    # torch.OutOfMemoryError is a RuntimeError with these words; on CPUs the allocator's name is in the message.
    return isinstance(error, MemoryError) or any(
        text in str(error) for text in ("out of memory", "DefaultCPUAllocator")
    )
