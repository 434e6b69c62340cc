"""The model of transformers as it is, run by PyTorch on any device."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.batching import budget_within
from pipeline_lib.engine import Engine, Fetch, Floats, Ids, absent_id, no_cache

_PROBED_TOKENS = 4_096


class TorchEngine(Engine):
    """A model of transformers, run by PyTorch.

    Args:
        model: in evaluation mode.
        inputs: the inputs that the checkpoint's tokenizer gives its model (`model_input_names`).
        device: where to compute, such as `cpu` or `cuda`.
    """

    def __init__(self, model: Any, inputs: Sequence[str], device: str) -> None:
        import torch

        super().__init__(inputs)
        self._torch = torch
        self._model = model.to(device)
        self._device = device
        self._options = no_cache(model)
        self._config = model.config.get_text_config()
        self.is_full_precision = bool(model.dtype == torch.float32)

    def logits(self, rows: Sequence[Ids], types: Sequence[Ids]) -> Floats:
        """Return logits of shape [rows, labels] in float32; see `Engine`."""
        return self.start(rows, types)()

    def start(self, rows: Sequence[Ids], types: Sequence[Ids]) -> Fetch:
        """Begin to compute, and return what waits for the logits; see `Engine`."""
        pad = self._config.pad_token_id
        batch = self.padded(rows, types, absent_id(rows) if pad is None else pad)
        tensors = {name: to_device(array, self._device) for name, array in batch.items()}
        with self._torch.inference_mode():
            if pad is not None or len(rows) == 1:
                output = self._model(**tensors, **self._options).logits
            else:
                # Causal classifiers find a row's last token by this setting and refuse a batch without it; any id
                # that no row holds does.
                self._config.pad_token_id = absent_id(rows)
                try:
                    output = self._model(**tensors, **self._options).logits
                finally:
                    self._config.pad_token_id = None
        return on_its_way(output, len(rows))


def to_device(array: NDArray[Any], device: str) -> Any:
    """Return an array as a tensor on a device; a GPU gets it while it computes something else."""
    import torch

    tensor = torch.from_numpy(array)
    return tensor if device == "cpu" else tensor.pin_memory().to(device, non_blocking=True)


def on_its_way(output: Any, rows: int) -> Fetch:
    """Return what waits for logits that a GPU may still compute; its next batches can start meanwhile."""
    import torch

    logits = output.detach().reshape(rows, -1).float()
    if logits.device.type == "cpu":
        here = np.asarray(logits.numpy(), np.float32)
        return lambda: here
    host = torch.empty(logits.shape, dtype=torch.float32, pin_memory=True)
    host.copy_(logits, non_blocking=True)
    arrived: Any = torch.cuda.Event()  # type: ignore[no-untyped-call]
    arrived.record()

    def fetch() -> Floats:
        arrived.synchronize()
        return np.array(host.numpy(), np.float32)

    return fetch


def budget_on_gpu(engine: Engine, probe: Sequence[int], most: int) -> int:
    """Return the tokens of a batch that this GPU has room for beside the model, from what a probe takes.

    Half of what is left of the whole card is counted on; a batch that is more than it can take is halved.

    Args:
        engine: on the GPU.
        probe: token ids that the model answers.
        most: tokens beyond which a batch gains no speed.
    """
    import torch

    ids = np.array(probe, np.int32)
    rows = [ids] * max(_PROBED_TOKENS // len(ids), 1)
    types = [np.zeros_like(ids)] * len(rows)
    engine.logits(rows, types)  # the first time libraries take memory of their own
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    engine.logits(rows, types)
    taken = torch.cuda.max_memory_allocated() - before
    usable = (torch.cuda.get_device_properties().total_memory - before) // 2
    return budget_within(usable, max(taken, 1) / (len(rows) * len(ids)), most)
