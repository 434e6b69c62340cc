"""Whether a model answers the same when its last layer computes the first token alone: tried in float32."""

from collections.abc import Sequence
from typing import Any

from pipeline_lib.engines.cls_pooling import skip_other_tokens
from pipeline_lib.engines.embedding import width_of
from pipeline_lib.engines.engine import are_close
from pipeline_lib.engines.inspection.engine_choice import LOGITS_TOLERANCE
from pipeline_lib.engines.inspection.probe_answers import AnsweredTexts
from pipeline_lib.engines.torch_engine import TorchEngine


def compute_cls_only(model: Any, inputs: Sequence[str], batches: Sequence[AnsweredTexts]) -> bool:
    """Have a model's last layer compute the first token alone, if its logits stay the same.

    Args:
        model: in float32.
        inputs: the inputs that the checkpoint's tokenizer gives its model.
        batches: the texts that the model is tried on, with the logits that they get without the change.

    Returns:
        Whether the logits stay the same; if not, the model is as it was.
    """
    engine = TorchEngine(model, inputs, "cpu")
    rows, type_ids = batches[0].texts.arrays()
    undo = skip_other_tokens(model, lambda: engine.logits(rows[:1], type_ids[:1]))
    if undo is None:
        return False
    try:
        right = all(
            are_close(engine.logits(*each.texts.arrays()), each.logits, LOGITS_TOLERANCE, width_of(model))
            for each in batches
        )
    except Exception:  # noqa: BLE001 - what a model makes of a single token can't be foreseen
        right = False
    if not right:
        undo()
    return right
