"""The model of transformers as it is, run by PyTorch on any device."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline_lib.engine import Engine, Floats, Ids, absent_id, no_cache


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
        pad = self._config.pad_token_id
        batch = self._padded(rows, types, absent_id(rows) if pad is None else pad)
        tensors = {name: self._torch.from_numpy(array).to(self._device) for name, array in batch.items()}
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
        return np.asarray(output.reshape(len(rows), -1).float().cpu().numpy(), np.float32)
