"""Logits to scores and labels, exactly as `pipeline("text-classification")` does it. Pure arithmetic."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Activation = Literal["softmax", "sigmoid", "none"]
Floats = NDArray[np.float32]


def activation_for(problem_type: str | None, num_labels: int) -> Activation:
    """Return the activation that the pipeline would choose for a checkpoint.

    The order of the rules is that of `TextClassificationPipeline.postprocess` in transformers 5.23.
    """
    if problem_type == "regression":
        return "none"
    if problem_type == "multi_label_classification" or num_labels == 1:
        return "sigmoid"
    return "softmax"


def activate(logits: Floats, activation: Activation) -> Floats:
    """Return the scores of logits of shape [rows, labels], in the same shape.

    The formulas are those of the pipeline, in float32 whatever the model's own precision: a softmax in
    bfloat16 is off by up to 0.002.
    """
    scores: Floats = logits.astype(np.float32)
    if activation == "sigmoid":
        # exp overflows to inf for very negative logits, and 1 / (1 + inf) is the right 0.
        with np.errstate(over="ignore"):
            scores = np.float32(1) / (np.float32(1) + np.exp(-scores))
    elif activation == "softmax":
        shifted = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores = shifted / shifted.sum(axis=-1, keepdims=True)
    return scores


def top(scores: Floats, labels: Sequence[str]) -> tuple[list[str], Floats]:
    """Return each row's best label and its score; of equal scores the first label wins, as in the pipeline.

    Args:
        scores: shape [rows, labels].
        labels: names by index; names may repeat.
    """
    best = scores.argmax(axis=-1)
    return [labels[index] for index in best], scores[np.arange(len(scores)), best]
