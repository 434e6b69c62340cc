"""Embeddings: a model's last hidden state, pooled to one vector a row in the pass that gives the logits."""

from typing import Any

from pipeline_lib.settings.sections.output import Pooling

_NAME = "nightscore_embedding"


class PooledState:
    """Puts a row's embedding behind its logits: a model's answer then has the shape [rows, labels + width].

    The last hidden state is what the model's own base model returns, as `AutoModel` of the same checkpoint does; of
    an encoder-decoder it is the decoder's. It is pooled over the tokens of each row, special ones included and
    padding not, in float32.

    Args:
        pooling: `first`, `mean` or `last`.
    """

    def __init__(self, pooling: Pooling) -> None:
        self._pooling = pooling
        self._hidden: Any = None
        self.given: Any = None
        """Embeddings of the rows of the next answer, in place of those of its own hidden state."""
        self.width = 0
        """Numbers in an embedding, once there is one."""

    def attach(self, model: Any) -> None:
        """Have a model of transformers give its answers with an embedding from now on."""
        model.base_model.register_forward_hook(self._keep)
        model.register_forward_hook(self._append, with_kwargs=True)
        setattr(model, _NAME, self)

    def pool_packed(self, hidden: Any, lengths: Any) -> Any:
        """Return the embeddings of rows that lie end to end, shape [rows, width].

        Args:
            hidden: shape [tokens, width].
            lengths: tokens of each row, on the same device.
        """
        ends = lengths.cumsum(0)
        if self._pooling == "mean":
            import torch

            # Row by row in a fixed order; adding at indices would add in any order on a GPU.
            return torch.segment_reduce(hidden.float(), "mean", lengths=lengths, unsafe=True)
        return hidden[ends - lengths if self._pooling == "first" else ends - 1].float()

    def _keep(self, _: Any, __: Any, output: Any) -> None:
        self._hidden = last_hidden_state(output)

    def _append(self, _: Any, __: Any, inputs: dict[str, Any], output: Any) -> Any:
        import torch

        hidden, self._hidden = self._hidden, None
        pooled = self._pooled(hidden, inputs.get("attention_mask")) if self.given is None else self.given
        self.width = int(pooled.shape[1])
        output.logits = torch.cat([output.logits.reshape(pooled.shape[0], -1).float(), pooled], dim=1)
        return output

    def _pooled(self, hidden: Any, mask: Any) -> Any:
        """Pool hidden states of shape [rows, tokens, width]; `Engine.padded` puts padding on the right alone."""
        import torch

        # Without a mask in a model's inputs no row is ever padded.
        if self._pooling == "first":
            return hidden[:, 0].float()
        if mask is None:
            return hidden.float().mean(1) if self._pooling == "mean" else hidden[:, -1].float()
        lengths = mask.sum(1)
        if self._pooling == "last":
            return hidden[torch.arange(hidden.shape[0], device=hidden.device), lengths - 1].float()
        # Not multiplied: what a model leaves in place of padding may not be finite.
        summed = hidden.float().masked_fill(mask[:, :, None] == 0, 0.0).sum(1)
        return summed / lengths[:, None]


def last_hidden_state(output: Any) -> Any:
    """Return the last hidden state of what a base model returned, or None."""
    hidden = getattr(output, "last_hidden_state", None)
    return output[0] if hidden is None and isinstance(output, tuple) else hidden


def add_embedding(model: Any, pooling: Pooling) -> None:
    """Have a model give its answers with an embedding, unless the pooling is `none`."""
    if pooling != "none":
        PooledState(pooling).attach(model)


def width_of(model: Any) -> int:
    """Return how many numbers of a model's answer to a row are its embedding."""
    state = pooled_state_of(model)
    return state.width if state else 0


def pooled_state_of(model: Any) -> PooledState | None:
    """Return what gives a model's answers an embedding, or None where they are logits alone."""
    return getattr(model, _NAME, None)
