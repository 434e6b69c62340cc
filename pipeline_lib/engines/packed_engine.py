"""Rows packed end to end, without a token of padding: for GPUs, where each token costs.

The checkpoint's own layers and head are used as they are; only attention is told where each row begins and ends.
"""

import contextlib
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.checkpoints.token_limits import first_position
from pipeline_lib.engines.engine import Engine, Fetch, Floats, Ids, absent_id, apart, no_cache
from pipeline_lib.engines.inspection.row_independence import Batch
from pipeline_lib.engines.torch_engine import keep_float32_whole, on_its_way, to_device

_NAME = "nightscore_packed"


class PackedEngine(Engine):
    """A model of transformers, run by PyTorch on rows laid end to end.

    Not every architecture can be; see `why_not_packed`.

    Args:
        model: in evaluation mode; its attention is replaced for good.
        inputs: the inputs that the checkpoint's tokenizer gives its model (`model_input_names`).
        device: where to compute, such as `cuda`.
    """

    def __init__(self, model: Any, inputs: Sequence[str], device: str) -> None:
        import torch

        super().__init__(inputs)
        keep_float32_whole()
        _register()
        self._device = device
        self._model = model.to(device)
        self._model.set_attn_implementation(_NAME)
        self._base = model.base_model
        self._config = model.config.get_text_config()
        self._first_position = first_position(model)
        self._causal = any(getattr(module, "is_causal", False) for module in self._base.modules())
        self.is_full_precision = bool(model.dtype == torch.float32)
        self.float32_bytes = 4 * sum(parameter.numel() for parameter in model.parameters())

    def logits(self, rows: Sequence[Ids], types: Sequence[Ids]) -> Floats:
        """Return logits of shape [rows, labels] in float32; see `Engine`."""
        return self.start(rows, types)()

    def start(self, rows: Sequence[Ids], types: Sequence[Ids]) -> Fetch:
        """Begin to compute, and return what waits for the logits; see `Engine`."""
        import torch

        lengths = np.array([len(row) for row in rows])
        bounds = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        ids = np.concatenate(rows).astype(np.int64)
        starts = bounds[:-1]
        # A padding token that a text itself spells is looked through, here as in the models' own code.
        real = np.ones(len(ids), bool) if self._config.pad_token_id is None else ids != self._config.pad_token_id
        given = {"input_ids": ids, "position_ids": self._positions(real, starts, lengths)}
        if self._typed:
            given["token_type_ids"] = np.concatenate(types).astype(np.int64)
        tensors = {name: to_device(array, self._device)[None] for name, array in given.items()}
        pooled = to_device(_last(real, bounds) if self._causal else starts.astype(np.int64), self._device)
        with torch.inference_mode(), _rows_end_at(to_device(bounds, self._device), int(lengths.max())):
            hidden = self._base(**tensors, **no_cache(self._base)).last_hidden_state[0]
            _check_used()
            output = self._head(tensors["input_ids"][0, pooled], hidden[pooled])
        return on_its_way(output, len(rows))

    def _positions(self, real: NDArray[np.bool_], starts: Ids, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return each token's position in its own row, as the model numbers them."""
        places = np.arange(len(real)) - np.repeat(starts, lengths)
        if not self._first_position:
            return places
        # RoBERTa and its kin count the tokens that are no padding, from what they reserve on.
        counted = np.cumsum(real)
        counted = counted - np.repeat(counted[starts] - real[starts], lengths)
        return counted * real + self._first_position - 1

    def _head(self, ids: Any, hidden: Any) -> Any:
        """Run the checkpoint's head on one token of each row, as if each were a text of its own."""
        from transformers.modeling_outputs import BaseModelOutputWithPoolingAndCrossAttentions

        found = BaseModelOutputWithPoolingAndCrossAttentions(hidden[:, None], self._pooled(hidden))
        self._base.forward = lambda *_, **__: found
        pad = self._config.pad_token_id
        try:
            if pad is None:  # causal classifiers refuse a batch without one
                self._config.pad_token_id = absent_id([ids.cpu().numpy()])
            return self._model(input_ids=ids[:, None]).logits
        finally:
            del self._base.forward
            self._config.pad_token_id = pad

    def _pooled(self, hidden: Any) -> Any:
        pooler = getattr(self._base, "pooler", None)
        activation = getattr(self._base, "pooler_activation", None)
        if pooler is None:
            return None
        # ALBERT's pooler is a bare layer; others take the first token of each text themselves.
        return activation(pooler(hidden)) if activation is not None else pooler(hidden[:, None])


def why_not_packed(model: Any, inputs: Sequence[str], alone: Batch, device: str) -> str | None:
    """Return why packed rows don't get the answers that each gets alone; None if they do.

    Args:
        model: in the precision that it will run in; it is as it was afterwards, on the device.
        inputs: the inputs that the checkpoint's tokenizer gives its model.
        alone: rows, some as long as the longest that will come, and what each is answered alone, by the same model
            on the same device.
        device: where to compute, such as `cuda`.
    """
    before = model.config._attn_implementation  # noqa: SLF001 - transformers has no other name for it
    try:
        engine = PackedEngine(model, inputs, device)
        found = engine.logits(alone.rows, alone.types)
        other_way = engine.logits(alone.rows[::-1], alone.types[::-1])[::-1]
    except Exception as error:  # noqa: BLE001 - an architecture, a kernel or a card may refuse in any way
        return f"{type(error).__name__}: {' '.join(str(error).split()):.200}"
    finally:
        model.set_attn_implementation(before)
    worst = float(np.max([apart(found, alone.logits), apart(other_way, alone.logits)]))
    return None if worst <= tolerance_of(str(model.dtype)) else f"its logits are {worst:.1g} off"


def tolerance_of(dtype: str) -> float:
    """Return how far packed logits may be off for the order of summing alone, relative where they are above 1.

    Half precision keeps 8 (bfloat16) or 11 (float16) bits of each number, and rounds after every layer; what is
    looked for is a kernel that refuses or computes something else, since float32 has shown that packing is right.
    """
    steps = {"torch.bfloat16": 2.0**-8, "torch.float16": 2.0**-11}
    return 16 * steps[dtype] if dtype in steps else _TOLERANCE


def kernel_refuses(capability: tuple[int, int], widths: tuple[int, int, int]) -> str | None:
    """Return why PyTorch's attention for packed rows can't be had; None if it can.

    What FlashAttention asks for, which `varlen_attn` calls: see `_flash_attention_forward` in PyTorch.

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


def _last(real: NDArray[np.bool_], bounds: Ids) -> NDArray[np.int64]:
    """Return the place of each row's last token that is no padding; its first one where all are."""
    found = [np.flatnonzero(real[start:end]) for start, end in pairwise(bounds)]
    return np.array(
        [start + (at[-1] if len(at) else 0) for start, at in zip(bounds[:-1], found, strict=True)], np.int64
    )


_TOLERANCE = 1e-4
_PACK: dict[str, Any] = {}


@contextlib.contextmanager
def _rows_end_at(bounds: Any, longest: int) -> Iterator[None]:
    _PACK.update(bounds=bounds, longest=longest)
    try:
        yield
    finally:
        _PACK.clear()


def _register() -> None:
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface

    AttentionInterface.register(_NAME, _attention)
    AttentionMaskInterface.register(_NAME, lambda *_, **__: None)


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
    _check_known(attention_mask=attention_mask, **others)
    if sliding_window is not None and (not isinstance(sliding_window, int) or sliding_window < 1):
        raise NotImplementedError(f"sliding_window={sliding_window!r}")
    causal = bool(getattr(module, "is_causal", False) if is_causal is None else is_causal)
    reach = -1 if sliding_window is None else sliding_window - 1
    window = (reach, 0 if causal else reach)
    attend = _on_gpu if query.is_cuda else _one_by_one
    query, key, value = (tensor[0].transpose(0, 1) for tensor in (query, key, value))
    found = attend(query, key, value, window, scaling)
    return found[None], None


def _check_used() -> None:
    """Refuse a model that attends in a way of its own: its packed rows saw each other."""
    if not _PACK.get("used"):
        raise NotImplementedError("its attention can't be replaced")


# What changes no answer, whatever its value: told for other kernels, or for a cache that is not used.
_HARMLESS = frozenset({"position_ids", "cache_position", "use_cache", "return_dict", "deterministic"})


def _check_known(**others: Any) -> None:
    """Refuse every argument that says something, and is not known to change no answer: a bias, a cap, sinks."""
    for name, value in others.items():
        says_nothing = value is None or (isinstance(value, bool | int | float) and not value)
        if name not in _HARMLESS and not says_nothing:
            raise NotImplementedError(f"packed rows know no {name!r}")


def _on_gpu(query: Any, key: Any, value: Any, window: tuple[int, int], scale: float | None) -> Any:
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


def _one_by_one(query: Any, key: Any, value: Any, window: tuple[int, int], scale: float | None) -> Any:
    """Do on any device what `varlen_attn` does: each row for itself, tensors of shape [tokens, heads, width]."""
    import torch

    found = []
    bounds = _PACK["bounds"].tolist()
    for start, end in pairwise(bounds):
        places = torch.arange(end - start, device=query.device)
        apart = places[None] - places[:, None]
        left, right = (len(places) if reach < 0 else reach for reach in window)
        one, two, three = (tensor[start:end].transpose(0, 1)[None] for tensor in (query, key, value))
        seen = (apart >= -left) & (apart <= right)
        grouped = query.shape[1] != key.shape[1]
        attended = torch.nn.functional.scaled_dot_product_attention(
            one, two, three, attn_mask=seen, scale=scale, enable_gqa=grouped
        )
        found.append(attended[0].transpose(0, 1))
    return torch.cat(found)
