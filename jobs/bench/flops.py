"""What a machine could do at most: FLOPs that a model needs, and those that the machine gives one large product."""

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SIZE = {"cpu": 2048, "cuda": 8192}
_SECONDS = 3.0
_LENGTHS = (8, 16, 32)


def useful_flops(model: str, lengths: NDArray[np.int64]) -> float:
    """Return the FLOPs that texts of some lengths need, a multiplication and an addition being two.

    As PyTorch counts them in matrix products, at three lengths: part grows with a text's length, and part, which is
    attention, with its square; what is the same for every length is left out, since a whole batch shares it.

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
    found = {"torch": _rate(lambda: linear(left), size, device)}
    if device == "cpu" and precision == "float32":
        from torch.utils.mkldnn import MkldnnLinear

        packed, dense = MkldnnLinear(linear, torch.float32), left.to_mkldnn()
        found["oneDNN"] = _rate(lambda: packed(dense), size, device)
    return found


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
