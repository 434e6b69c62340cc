"""Tokenizers whose vocabulary is a model of SentencePiece alone."""

from pathlib import Path
from typing import Any

import transformers

from tests.helpers.checkpoints.tiny_checkpoints.recipe import Recipe
from tests.helpers.checkpoints.tiny_checkpoints.texts import CORPUS
from tests.helpers.checkpoints.tiny_checkpoints.tokenizers import limit_of


def from_sentencepiece(recipe: Recipe, folder: Path) -> Any:
    """Train a model of SentencePiece into the folder, and return the tokenizer that transformers makes of it."""
    import io
    import json

    import sentencepiece

    kind, name, options = _SENTENCEPIECE[recipe.architecture]
    trained = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS),
        model_writer=trained,
        hard_vocab_limit=False,
        character_coverage=1.0,
        num_threads=1,
        minloglevel=2,
        **{"vocab_size": 300, **options},
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(trained.getvalue())
    config = {"tokenizer_class": f"{kind}Tokenizer", **limit_of(recipe)}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return getattr(transformers, f"{kind}Tokenizer").from_pretrained(folder)


# The tokenizer's class, the file it looks for, and what its first pieces are.
_SENTENCEPIECE: dict[str, tuple[str, str, dict[str, Any]]] = {
    "xlm-roberta": ("XLMRoberta", "sentencepiece.bpe.model", {}),
    "camembert": ("Camembert", "sentencepiece.bpe.model", {}),
    "albert": (
        "Albert",
        "spiece.model",
        {
            "pad_id": 0,
            "unk_id": 1,
            "bos_id": -1,
            "eos_id": -1,
            "control_symbols": ["[CLS]", "[SEP]"],
            "user_defined_symbols": ["[MASK]"],
        },
    ),
    "deberta-v2": (
        "DebertaV2",
        "spm.model",
        {
            "pad_id": 0,
            "bos_id": 1,
            "eos_id": 2,
            "unk_id": 3,
            "pad_piece": "[PAD]",
            "bos_piece": "[CLS]",
            "eos_piece": "[SEP]",
            "unk_piece": "[UNK]",
        },
    ),
    "t5": ("T5", "spiece.model", {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}),
    "xlnet": ("XLNet", "spiece.model", {"control_symbols": ["<cls>", "<sep>", "<pad>", "<mask>"]}),
    "llama": ("Llama", "tokenizer.model", {"model_type": "bpe", "byte_fallback": True, "vocab_size": 700}),
}


SENTENCEPIECE = tuple(_SENTENCEPIECE)
