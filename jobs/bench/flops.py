"""The FLOPs that a model needs, and the FLOP/s that a machine reaches in one large matrix product."""

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SIZE = {"cpu": 2048, "cuda": 8192}
_SECONDS = 3.0
_LENGTHS = (8, 16, 32)


def useful_flops(model: str, lengths: NDArray[np.int64]) -> float:
    """Return the FLOPs that texts of these lengths need; a multiplication and an addition count as two.

    PyTorch counts the FLOPs of the matrix products at three lengths. From these follow the part that grows with the
    length and the part that grows with its square, which is attention. A constant part is left out, since a whole
    batch shares it.

    Args:
        model: the checkpoint's folder or hub id.
        lengths: tokens of each text, shape [texts].
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import AutoModelForSequenceClassification

    loaded = AutoModelForSequenceClassification.from_pretrained(
        model, attn_implementation="eager", dtype=torch.float32
    ).eval()
    counted = []
    for length in _LENGTHS:
        with FlopCounterMode(display=False) as counter:
            loaded(input_ids=torch.ones(1, length, dtype=torch.int64))
        counted.append(counter.get_total_flops())
    _, linear, square = np.linalg.solve([[1, length, length**2] for length in _LENGTHS], counted)
    return float((linear * lengths + square * lengths.astype(np.float64) ** 2).sum())


def peak_flops(device: str, precision: str, threads: int) -> dict[str, float]:
    """Return the FLOP/s of one large matrix product, by the library that computes it."""
    import torch

    torch.set_num_threads(threads)
    size = _SIZE[device]
    kind = getattr(torch, precision)
    left = torch.randn(size, size, device=device).to(kind)
    linear = torch.nn.Linear(size, size, bias=False, device=device).to(kind)
    rates = {"torch": _rate(lambda: linear(left), size, device)}
    if device == "cpu" and precision == "float32":
        from torch.utils.mkldnn import MkldnnLinear

        packed, dense = MkldnnLinear(linear, torch.float32), left.to_mkldnn()
        rates["oneDNN"] = _rate(lambda: packed(dense), size, device)
    return rates


def _rate(product: Any, size: int, device: str) -> float:
    import torch

    def once() -> float:
        began = time.perf_counter()
        product()
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began

    with torch.inference_mode():
        once()
        times = [once()]
        while sum(times) < _SECONDS:
            times.append(once())
    return 2.0 * size**3 / min(times)
