"""Writes tiny checkpoints of many architectures, random but real."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers

from tests.helpers.checkpoints.tiny_checkpoints.recipe import Recipe
from tests.helpers.checkpoints.tiny_checkpoints.sentencepiece_models import from_sentencepiece
from tests.helpers.checkpoints.tiny_checkpoints.shapes import shape_of
from tests.helpers.checkpoints.tiny_checkpoints.texts import CORPUS
from tests.helpers.checkpoints.tiny_checkpoints.tokenizers import byte_pairs, unigrams, word_pieces


def build(recipe: Recipe, folder: Path) -> Path:
    """Write a checkpoint's configuration, weights and tokenizer, and return the folder."""
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    make, kind, family = _KINDS[recipe.architecture]
    tokenizer = from_sentencepiece(recipe, folder) if recipe.sentencepiece else make(recipe)
    pad = None if recipe.pad == "none" else tokenizer.pad_token_id
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=len(tokenizer),
        num_labels=recipe.num_labels,
        problem_type=recipe.problem_type,
        pad_token_id=pad,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **shape_of(recipe, family),
    )
    if recipe.labels:
        config.id2label = dict(enumerate(recipe.labels))
    torch.manual_seed(recipe.seed)
    model = getattr(transformers, f"{kind}ForSequenceClassification")(config)
    blind = True
    while blind:
        for name, weight in model.named_parameters():
            if weight.dim() > 1 and "norm" not in name.lower():
                torch.nn.init.normal_(weight, std=0.35)
        blind = _blind(model.eval(), tokenizer, recipe.max_positions)
    model.to(getattr(torch, recipe.dtype)).save_pretrained(folder)
    if not recipe.sentencepiece:
        tokenizer.save_pretrained(folder)
    return folder


def _blind(model: Any, tokenizer: Any, most: int) -> bool:
    """Return whether the scores are all but alike for all texts, which a comparison would not see go wrong."""
    cut = {"truncation": True, "max_length": most, "return_tensors": "pt"}
    with torch.inference_mode():
        logits = torch.cat([model(**tokenizer(text, **cut)).logits for text in CORPUS[:4]])
    scores = logits.softmax(-1) if logits.shape[1] > 1 else logits.sigmoid()
    return bool((scores.amax(0) - scores.amin(0)).max() < 0.2)


_KINDS: dict[str, tuple[Callable[[Recipe], Any], str, str]] = {
    "bert": (word_pieces, "Bert", "encoder"),
    "distilbert": (word_pieces, "DistilBert", "distilbert"),
    "roberta": (byte_pairs, "Roberta", "encoder"),
    "xlm-roberta": (unigrams, "XLMRoberta", "encoder"),
    "albert": (unigrams, "Albert", "encoder"),
    "electra": (word_pieces, "Electra", "encoder"),
    "mpnet": (word_pieces, "MPNet", "encoder"),
    "deberta-v2": (unigrams, "DebertaV2", "encoder"),
    "modernbert": (byte_pairs, "ModernBert", "encoder"),
    "gpt2": (byte_pairs, "GPT2", "gpt2"),
    "qwen2": (byte_pairs, "Qwen2", "encoder"),
    "bart": (byte_pairs, "Bart", "bart"),
    "camembert": (unigrams, "Camembert", "encoder"),
    "llama": (byte_pairs, "Llama", "encoder"),
    "opt": (byte_pairs, "OPT", "opt"),
    "t5": (unigrams, "T5", "t5"),
    "xlnet": (unigrams, "XLNet", "xlnet"),
}
