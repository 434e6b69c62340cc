"""The model of transformers as it is, run by PyTorch on any device."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.engines.engine import Engine, Fetch, Floats, Ids, no_cache_option, unused_id
from pipeline_lib.engines.model_state import LoadedState
from pipeline_lib.errors import SettingsError


class TorchEngine(Engine):
    """A model of transformers, run by PyTorch.

    Args:
        model: in evaluation mode.
        inputs: the inputs that the checkpoint's tokenizer gives its model (`model_input_names`).
        device: where to compute, such as `cpu` or `cuda`.
        is_stateful: whether the model changes while it computes; it is put back after each batch.
    """

    def __init__(self, model: Any, inputs: Sequence[str], device: str, *, is_stateful: bool = False) -> None:
        import torch

        super().__init__(inputs)
        use_exact_float32()
        self._torch = torch
        self._model = model.to(device)
        self._device = device
        self._options = no_cache_option(model)
        self._config = model.config.get_text_config()
        self._loaded = LoadedState(self._model) if is_stateful else None
        self.is_full_precision = bool(model.dtype == torch.float32)
        self.float32_bytes = 4 * sum(parameter.numel() for parameter in model.parameters())

    def logits(self, rows: Sequence[Ids], types: Sequence[Ids]) -> Floats:
        """Return logits of shape [rows, labels] in float32; see `Engine`."""
        return self.start(rows, types)()

    def start(self, rows: Sequence[Ids], types: Sequence[Ids]) -> Fetch:
        """Begin to compute, and return what waits for the logits; see `Engine`."""
        pad = self._config.pad_token_id
        batch = self.padded(rows, types, unused_id(rows) if pad is None else pad)
        tensors = {name: to_device(array, self._device) for name, array in batch.items()}
        # Causal classifiers find a row's last token by this setting and refuse a batch without it; any id that no
        # row holds does.
        filled = pad is None and len(rows) > 1
        try:
            if filled:
                self._config.pad_token_id = unused_id(rows)
            with self._torch.inference_mode():
                output = self._model(**tensors, **self._options).logits
        finally:
            if filled:
                self._config.pad_token_id = None
            if self._loaded:
                self._loaded.restore()
        return copied_to_host(output, len(rows))


def use_exact_float32() -> None:
    """Have PyTorch compute float32 with all its digits in this process, whatever was set before.

    cuDNN's convolutions round to the 10 bits of TF32 by default, and an environment or a library may have asked for
    the same in matrix products, or for bfloat16 on CPUs. PyTorch has two interfaces for this setting. Each leaves
    out a part of what the other one sets, and PyTorch refuses to read a mix unless both agree.
    """
    import torch

    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    backends: Any = torch.backends
    for part in (backends, backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn, backends.mkldnn.matmul):
        part.fp32_precision = "ieee"


def has_gpu() -> bool:
    """Tell whether PyTorch can use a GPU of this machine."""
    import torch

    return bool(torch.cuda.is_available())


def gpu_names() -> list[str]:
    """Return the names of the GPUs that PyTorch can use on this machine."""
    import torch

    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]


def prepare_process(device: str, threads: int | None, place: str) -> None:
    """Have this process compute with a fixed number of CPU threads, which can change the last digit of a sum.

    Args:
        device: of the plan.
        threads: CPU threads, or None to keep the number that PyTorch has.
        place: the machine, as a message names it.

    Raises:
        SettingsError: PyTorch can't use the GPU that was planned with.
    """
    import torch

    if threads:
        torch.set_num_threads(threads)
    if device == "cuda" and not has_gpu():
        raise SettingsError(
            f"{place}: PyTorch {torch.__version__} can't use the GPU that Ray gives it; set "
            "tuning.gpus_per_model_actor: 0 to score on CPUs, or install a PyTorch that can"
        )


def device_name(device: str) -> str:
    """Return the name of a card, or the kind of device where it has none."""
    import torch

    return str(torch.cuda.get_device_name()) if device == "cuda" else device


def to_device(array: NDArray[Any], device: str) -> Any:
    """Return an array as a tensor on a device; a GPU gets it while it computes something else."""
    import torch

    tensor = torch.from_numpy(array)
    return tensor if device == "cpu" else tensor.pin_memory().to(device, non_blocking=True)


def copied_to_host(output: Any, rows: int) -> Fetch:
    """Return a function that waits for logits that a GPU still computes; its next batches can start meanwhile."""
    import torch

    logits = output.detach().reshape(rows, -1).float()
    if logits.device.type == "cpu":
        array = np.asarray(logits.numpy(), np.float32)
        return lambda: array
    host = torch.empty(logits.shape, dtype=torch.float32, pin_memory=True)
    host.copy_(logits, non_blocking=True)
    arrived: Any = torch.cuda.Event()  # type: ignore[no-untyped-call]
    arrived.record()

    def fetch() -> Floats:
        arrived.synchronize()
        return np.array(host.numpy(), np.float32)

    return fetch
