"""Checkpoints in well-known shapes with random weights: their speed is real, their answers mean nothing."""

from pathlib import Path
from typing import Any

SHAPES: dict[str, tuple[str, dict[str, int]]] = {
    "minilm": (
        "bert",
        {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536},
    ),
    "distilbert-base": ("distilbert", {"dim": 768, "n_layers": 6, "n_heads": 12, "hidden_dim": 3072}),
    "bert-base": (
        "bert",
        {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072},
    ),
}
"""For each shape the model type of transformers, and the settings of its size."""

_TOKENIZER = "configs/sample/model"
_SEED = 11
# So far apart that rounding changes no label, since only the speed is measured.
_APART = 2.0


def build(shape: str, folder: Path) -> Path:
    """Write a checkpoint of a shape, with the sample's tokenizer, and return its folder.

    Args:
        shape: a key of `SHAPES`.
        folder: where to write.
    """
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    kind, size = SHAPES[shape]
    tokenizer: Any = AutoTokenizer.from_pretrained(_TOKENIZER)
    config = AutoConfig.for_model(
        kind,
        **size,
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        max_position_embeddings=512,
        id2label={0: "NEGATIVE", 1: "POSITIVE"},
        label2id={"NEGATIVE": 0, "POSITIVE": 1},
    )
    torch.manual_seed(_SEED)
    model = AutoModelForSequenceClassification.from_config(config)
    with torch.no_grad():
        model.classifier.bias[1] += _APART
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
