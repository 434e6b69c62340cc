"""What a tiny checkpoint shall be like."""

from dataclasses import dataclass
from typing import Literal

ARCHITECTURES = (
    "bert",
    "distilbert",
    "roberta",
    "xlm-roberta",
    "albert",
    "electra",
    "mpnet",
    "deberta-v2",
    "modernbert",
    "gpt2",
    "qwen2",
)


EXTRA_ARCHITECTURES = ("bart", "camembert", "llama", "opt", "t5", "xlnet")


@dataclass(frozen=True)
class Recipe:
    """What a tiny checkpoint shall be like."""

    architecture: str
    num_labels: int = 2
    problem_type: str | None = None
    model_max_length: int | None = 64
    """None: the tokenizer names no limit (the 1e30 of transformers)."""
    max_positions: int = 64
    """Usable positions; RoBERTa and its kin get as many more as they reserve."""
    pad: Literal["usual", "none", "eos"] = "usual"
    seed: int = 0
    labels: tuple[str, ...] | None = None
    dtype: str = "float32"
    sentencepiece: bool = False
    """Whether the vocabulary is a model of SentencePiece alone, as in checkpoints from before tokenizer.json."""
