"""What every engine is: token ids in, logits out; and what is done with a batch that fails."""

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
        self._masked = "attention_mask" in inputs
        self._typed = "token_type_ids" in inputs

    @abstractmethod
    def logits(self, rows: Sequence[Ids], types: Sequence[Ids]) -> Floats:
        """Return logits of shape [rows, labels] in float32.

        Args:
            rows: token ids, each of shape [tokens of that row].
            types: token type ids of the same shapes; not looked at where the model takes none.

        Raises:
            torch.OutOfMemoryError: the batch is too large for the device.
        """

    def start(self, rows: Sequence[Ids], types: Sequence[Ids]) -> Fetch:
        """Begin to compute, and return what waits for the logits; engines on CPUs are done by then."""
        found = self.logits(rows, types)
        return lambda: found

    def check(self, probe: Sequence[int]) -> None:
        """Compute what is known to work.

        Args:
            probe: token ids that the model answered before.

        Raises:
            DeviceError: it works no more.
        """
        ids = np.array(probe, np.int32)
        try:
            self.logits([ids], [np.zeros_like(ids)])
        except Exception as error:
            raise DeviceError(f"the model fails on every text: {type(error).__name__}: {error!s:.200}") from error

    def padded(self, rows: Sequence[Ids], types: Sequence[Ids], pad: int) -> dict[str, NDArray[np.int64]]:
        """Return a batch as the model's forward takes it, every array of shape [rows, longest]."""
        ids, mask = batching.padded(rows, pad)
        found = {"input_ids": ids}
        if self._masked:
            found["attention_mask"] = mask
        if self._typed:
            found["token_type_ids"], _ = batching.padded(types, 0)
        return found


def absent_id(rows: Sequence[Ids]) -> int:
    """Return the smallest token id that no row holds; with few ids in play it is always a valid one."""
    present = np.unique(np.concatenate(rows))
    gaps = np.flatnonzero(present != np.arange(len(present)))
    return int(gaps[0]) if len(gaps) else len(present)


def apart(found: Floats, expected: Floats) -> float:
    """Return the largest difference between logits, in units of the largest of them where that is above 1."""
    return float(np.abs(found - expected).max() / max(1.0, float(np.abs(expected).max())))


def same(found: Floats, expected: Floats, tolerance: float) -> bool:
    """Tell whether logits are equal but for the order of summing; those above 1 may differ by more."""
    return bool(np.abs(found - expected).max() <= tolerance * max(1.0, float(np.abs(expected).max())))


def no_cache(model: Any) -> dict[str, bool]:
    """Return the option that keeps a causal model from remembering what no later token asks for."""
    return {"use_cache": False} if "use_cache" in inspect.signature(model.forward).parameters else {}


def halving(compute: Callable[[Rows], Floats], batch: Rows, alone: Callable[[Rows, Exception], Floats]) -> Floats:
    """Compute a batch; when that fails, its halves, and theirs.

    It fails when the device runs out of memory, when a model wants its rows alike in some way (BART, say, wants
    the same number of end tokens in each), or when a row is more than the model can take.

    Args:
        compute: takes row numbers and returns an array whose first axis is those rows.
        batch: the row numbers, at least one.
        alone: computes a row that failed on its own, or says what becomes of it.

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
    # Outside the except block: inside it the failed batch would stay alive in the traceback.
    middle = len(batch) // 2
    return np.concatenate([halving(compute, batch[:middle], alone), halving(compute, batch[middle:], alone)])


def is_out_of_memory(error: Exception) -> bool:
    """Tell whether an error says that memory ran out, of a GPU or of the machine."""
    # torch.OutOfMemoryError is a RuntimeError that says so; on CPUs the allocator names itself.
    return isinstance(error, MemoryError) or any(
        sign in str(error) for sign in ("out of memory", "DefaultCPUAllocator")
    )
