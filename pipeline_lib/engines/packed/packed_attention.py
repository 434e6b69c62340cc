"""Attention within rows that are laid end to end, registered with transformers in place of its own."""

import contextlib
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

PACKED_ATTENTION = "nightscore_packed"

_PACK: dict[str, Any] = {}
"""Where the rows of the batch that is being computed begin and end; transformers passes nothing of ours on."""


def register_packed_attention() -> None:
    """Make the attention known to transformers under its name."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface

    AttentionInterface.register(PACKED_ATTENTION, _attention)
    AttentionMaskInterface.register(PACKED_ATTENTION, lambda *_, **__: None)


@contextlib.contextmanager
def packed_rows(bounds: Any, longest: int) -> Iterator[None]:
    """Tell the attention in this block where rows begin and end.

    Args:
        bounds: the place of each row's first token, and of the end of the last row; on the device.
        longest: tokens of the longest row.
    """
    _PACK.update(bounds=bounds, longest=longest)
    try:
        yield
    finally:
        _PACK.clear()


def check_packed_attention_used() -> None:
    """Refuse a model whose attention can't be replaced: its packed rows would see each other.

    Raises:
        NotImplementedError: the model did not call this attention.
    """
    if not _PACK.get("used"):
        raise NotImplementedError("its attention can't be replaced")


def kernel_refuses(capability: tuple[int, int], widths: tuple[int, int, int]) -> str | None:
    """Return why PyTorch's attention for packed rows can't be used; None if it can.

    These are the limits of FlashAttention, which `varlen_attn` calls: see `_flash_attention_forward` in PyTorch.

    Args:
        capability: the card's, major and minor.
        widths: of a head's query, key and value.
    """
    if capability < (8, 0):
        return f"the card's compute capability is {capability[0]}.{capability[1]}, and 8.0 is needed"
    if len(set(widths)) > 1:
        return f"queries, keys and values are {widths} wide, and must be alike"
    if widths[0] % 8 or widths[0] > 256:
        return f"heads are {widths[0]} wide, and must be a multiple of 8 up to 256"
    return None


def _attention(  # noqa: PLR0913, PLR0917 - transformers calls it so
    module: Any,
    query: Any,
    key: Any,
    value: Any,
    attention_mask: Any,
    scaling: float | None = None,
    sliding_window: int | None = None,
    is_causal: bool | None = None,
    **others: Any,
) -> tuple[Any, None]:
    """Attend within each row; tensors are [1, heads, tokens, width], the result is [1, tokens, heads, width].

    Raises:
        NotImplementedError: attention shall do something that this one does not know.
    """
    _PACK["used"] = True
    _refuse_unknown(attention_mask=attention_mask, **others)
    if sliding_window is not None and (not isinstance(sliding_window, int) or sliding_window < 1):
        raise NotImplementedError(f"sliding_window={sliding_window!r}")
    causal = bool(getattr(module, "is_causal", False) if is_causal is None else is_causal)
    reach = -1 if sliding_window is None else sliding_window - 1
    window = (reach, 0 if causal else reach)
    attend = _attend_on_gpu if query.is_cuda else _attend_row_by_row
    query, key, value = (tensor[0].transpose(0, 1) for tensor in (query, key, value))
    return attend(query, key, value, window, scaling)[None], None


# These arguments change no answer, whatever their value: they are for other kernels or for an unused cache.
_HARMLESS = frozenset({"position_ids", "cache_position", "use_cache", "return_dict", "deterministic"})


def _refuse_unknown(**others: Any) -> None:
    """Refuse every argument that is set and is not known to be harmless: a bias, a cap, sinks."""
    for name, value in others.items():
        is_unset = value is None or (isinstance(value, bool | int | float) and not value)
        if name not in _HARMLESS and not is_unset:
            raise NotImplementedError(f"packed rows do not support the argument {name!r}")


def _attend_on_gpu(query: Any, key: Any, value: Any, window: tuple[int, int], scale: float | None) -> Any:
    import torch
    from torch.nn.attention.varlen import varlen_attn

    widths = query.shape[-1], key.shape[-1], value.shape[-1]
    why_not = kernel_refuses(torch.cuda.get_device_capability(query.device), widths)
    if why_not:
        raise NotImplementedError(why_not)
    bounds, longest = _PACK["bounds"], _PACK["longest"]
    grouped = query.shape[1] != key.shape[1]
    return varlen_attn(
        query, key, value, bounds, bounds, longest, longest, scale=scale, window_size=window, enable_gqa=grouped
    )


def _attend_row_by_row(query: Any, key: Any, value: Any, window: tuple[int, int], scale: float | None) -> Any:
    """Compute what `varlen_attn` does on any device, row by row; tensors are [tokens, heads, width]."""
    import torch

    outputs = []
    bounds = _PACK["bounds"].tolist()
    for start, end in pairwise(bounds):
        places = torch.arange(end - start, device=query.device)
        distance = places[None] - places[:, None]
        left, right = (len(places) if reach < 0 else reach for reach in window)
        row_query, row_key, row_value = (tensor[start:end].transpose(0, 1)[None] for tensor in (query, key, value))
        visible = (distance >= -left) & (distance <= right)
        grouped = query.shape[1] != key.shape[1]
        attended = torch.nn.functional.scaled_dot_product_attention(
            row_query, row_key, row_value, attn_mask=visible, scale=scale, enable_gqa=grouped
        )
        outputs.append(attended[0].transpose(0, 1))
    return torch.cat(outputs)
