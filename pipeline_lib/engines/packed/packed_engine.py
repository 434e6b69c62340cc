"""Rows packed end to end, almost without padding: for GPUs, where each token costs.

The checkpoint's own layers and head are used as they are; only attention is replaced, by one that knows where each
row begins and ends.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.checkpoints.token_limits import first_position
from pipeline_lib.engines.embedding import pooled_state_of
from pipeline_lib.engines.engine import Engine, Fetch, Floats, Ids, no_cache_option, unused_id
from pipeline_lib.engines.packed.packed_attention import (
    PACKED_ATTENTION,
    check_packed_attention_used,
    packed_rows,
    register_packed_attention,
)
from pipeline_lib.engines.packed.packed_shapes import filling
from pipeline_lib.engines.torch_engine import copied_to_host, to_device, use_exact_float32


class PackedEngine(Engine):
    """A model of transformers, run by PyTorch on rows laid end to end.

    Not every architecture can be; see `inspection.packing_check`.

    Args:
        model: in evaluation mode; its attention is replaced for good.
        inputs: the inputs that the checkpoint's tokenizer gives its model (`model_input_names`).
        device: where to compute, such as `cuda`.
    """

    def __init__(self, model: Any, inputs: Sequence[str], device: str) -> None:
        import torch

        super().__init__(inputs)
        use_exact_float32()
        register_packed_attention()
        self._device = device
        self._model = model.to(device)
        self._model.set_attn_implementation(PACKED_ATTENTION)
        self._base = model.base_model
        self._embedding = pooled_state_of(model)
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

        asked = len(rows)
        rows, types, longest = _filled(rows, types)
        lengths = np.array([len(row) for row in rows])
        bounds = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        ids = np.concatenate(rows).astype(np.int64)
        starts = bounds[:-1]
        # A text may itself spell the padding token, which is then skipped, here as in the models' own code.
        real = np.ones(len(ids), bool) if self._config.pad_token_id is None else ids != self._config.pad_token_id
        batch = {"input_ids": ids, "position_ids": self._positions(real, starts, lengths)}
        if self._takes_types:
            batch["token_type_ids"] = np.concatenate(types).astype(np.int64)
        tensors = {name: to_device(array, self._device)[None] for name, array in batch.items()}
        pooled = to_device(_last(real, bounds) if self._causal else starts.astype(np.int64), self._device)
        with torch.inference_mode(), packed_rows(to_device(bounds, self._device), longest):
            hidden = self._base(**tensors, **no_cache_option(self._base)).last_hidden_state[0]
            check_packed_attention_used()
            if self._embedding:
                self._embedding.given = self._embedding.pool_packed(hidden, to_device(lengths, self._device))
            output = self._head(tensors["input_ids"][0, pooled], hidden[pooled])
        return copied_to_host(output.reshape(len(rows), -1)[:asked], asked)

    def _positions(self, real: NDArray[np.bool_], starts: Ids, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return each token's position in its own row, as the model numbers them."""
        places = np.arange(len(real)) - np.repeat(starts, lengths)
        if not self._first_position:
            return places
        # Models like RoBERTa count the tokens that are not padding, beginning after the positions they reserve.
        counted = np.cumsum(real)
        counted = counted - np.repeat(counted[starts] - real[starts], lengths)
        return counted * real + self._first_position - 1

    def _head(self, ids: Any, hidden: Any) -> Any:
        """Run the checkpoint's head on one token of each row, as if each were a text of its own."""
        from transformers.modeling_outputs import BaseModelOutputWithPoolingAndCrossAttentions

        output = BaseModelOutputWithPoolingAndCrossAttentions(hidden[:, None], self._pooled(hidden))
        self._base.forward = lambda *_, **__: output
        pad = self._config.pad_token_id
        try:
            if pad is None:  # causal classifiers refuse a batch without one
                self._config.pad_token_id = unused_id([ids.cpu().numpy()])
            return self._model(input_ids=ids[:, None]).logits
        finally:
            del self._base.forward
            self._config.pad_token_id = pad
            if self._embedding:
                self._embedding.given = None

    def _pooled(self, hidden: Any) -> Any:
        pooler = getattr(self._base, "pooler", None)
        activation = getattr(self._base, "pooler_activation", None)
        if pooler is None:
            return None
        # ALBERT's pooler is a bare layer; others take the first token of each text themselves.
        return activation(pooler(hidden)) if activation is not None else pooler(hidden[:, None])


def _filled(rows: Sequence[Ids], types: Sequence[Ids]) -> tuple[list[Ids], list[Ids], int]:
    """Return a batch filled up to one of few shapes, and the tokens that its longest row counts for.

    It is filled with beginnings of its longest row, which the model can compute as it can compute that row.
    """
    longest = max(range(len(rows)), key=lambda number: len(rows[number]))
    added = filling(len(rows), sum(map(len, rows)), len(rows[longest]))
    more = [(rows[longest][:length], types[longest][:length]) for length in added.lengths]
    return [*rows, *(ids for ids, _ in more)], [*types, *(kinds for _, kinds in more)], added.longest


def _last(real: NDArray[np.bool_], bounds: Ids) -> NDArray[np.int64]:
    """Return the place of each row's last token that is not padding, or of its first token where all are."""
    real_places = [np.flatnonzero(real[start:end]) for start, end in pairwise(bounds)]
    last = [int(places[-1]) if len(places) else 0 for places in real_places]
    return bounds[:-1].astype(np.int64) + np.array(last, np.int64)
