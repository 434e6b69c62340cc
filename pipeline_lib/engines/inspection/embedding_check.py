"""Whether a checkpoint has a last hidden state for embeddings: one vector a token, as `AutoModel` gives it."""

from collections.abc import Sequence
from typing import Any

from pipeline_lib.engines.embedding import add_embedding, last_hidden_state, width_of
from pipeline_lib.engines.inspection.probe_texts import Row
from pipeline_lib.engines.model_state import LoadedState
from pipeline_lib.engines.torch_engine import TorchEngine
from pipeline_lib.errors import CheckpointError
from pipeline_lib.settings.sections.output import Pooling


def with_embedding(model: Any, inputs: Sequence[str], pooling: Pooling, row: Row) -> int:
    """Have a model give its answers with an embedding, and return its width; 0 for the pooling `none`.

    Args:
        model: in float32, on the CPU, as it was loaded; apart from the embedding it is as it was afterwards.
        inputs: the inputs that the checkpoint's tokenizer gives its model.
        pooling: of the settings.
        row: a text that the model answers.

    Raises:
        CheckpointError: the model has no last hidden state that is `AutoModel`'s.
    """
    if pooling == "none":
        return 0
    why_not = _why_not_base(model) or _why_not_hidden_state(model, inputs, row)
    if why_not:
        raise CheckpointError(
            f"output.embedding: {type(model).__name__} has no last hidden state with a vector for each token: "
            f"{why_not}; allowed is none"
        )
    add_embedding(model, pooling)
    _compute(model, inputs, row)
    return width_of(model)


def _why_not_base(model: Any) -> str:
    """Return why a model's base model is not what `AutoModel` would load, or an empty string."""
    from transformers import MODEL_MAPPING

    base = model.base_model
    if base is model:
        return "it has no base model"
    known = MODEL_MAPPING.get(type(model.config), None)
    expected = known[0] if isinstance(known, tuple | list) else known
    if expected is None or isinstance(base, expected):  # code that comes with a checkpoint has classes of its own
        return ""
    return f"its base model is {type(base).__name__}, and not {expected.__name__}"


def _why_not_hidden_state(model: Any, inputs: Sequence[str], row: Row) -> str:
    """Return what a model's base model gives for a text instead of a vector a token, or an empty string."""
    shapes: list[list[int]] = []
    hook = model.base_model.register_forward_hook(
        lambda _, __, output: shapes.append(list(getattr(last_hidden_state(output), "shape", ())))
    )
    try:
        _compute(model, inputs, row)
    finally:
        hook.remove()
    if len(shapes) != 1:
        return f"it calls its base model {len(shapes)} times"
    tokens = len(row[0])
    right = len(shapes[0]) == 3 and shapes[0][:2] == [1, tokens]
    return "" if right else f"its base model answers {tokens} tokens with the shape {shapes[0]}"


def _compute(model: Any, inputs: Sequence[str], row: Row) -> None:
    loaded = LoadedState(model)
    TorchEngine(model, inputs, "cpu").logits([row[0]], [row[1]])
    loaded.restore()
