"""The checkpoints of the other tests: of the right architecture, with different answers to different texts."""

from pathlib import Path

import numpy as np
import pytest
import transformers

from tests.helpers.checkpoints.tiny_checkpoints import ARCHITECTURES, EXTRA_ARCHITECTURES, Recipe, build, oracle

EVERY = (*ARCHITECTURES, *EXTRA_ARCHITECTURES)
CLASSES = {
    "bert": "Bert",
    "distilbert": "DistilBert",
    "roberta": "Roberta",
    "xlm-roberta": "XLMRoberta",
    "albert": "Albert",
    "electra": "Electra",
    "mpnet": "MPNet",
    "deberta-v2": "DebertaV2",
    "modernbert": "ModernBert",
    "gpt2": "GPT2",
    "qwen2": "Qwen2",
    "bart": "Bart",
    "camembert": "Camembert",
    "llama": "Llama",
    "opt": "OPT",
    "t5": "T5",
    "xlnet": "XLNet",
}


@pytest.mark.parametrize("architecture", EVERY)
def test_each_is_of_its_kind_and_tells_texts_apart(architecture: str, tmp_path: Path) -> None:
    """Scores that are all alike would make every comparison with the oracle blind."""
    build(Recipe(architecture, num_labels=3), tmp_path)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert type(model).__name__ == f"{CLASSES[architecture]}ForSequenceClassification"
    answers = oracle(tmp_path, ["a fine kettle", "bad zip! disappointed", "good " * 30, "もう一度"], 64)
    scores = np.stack([answer.scores for answer in answers])
    assert np.ptp(scores, axis=0).max() > 0.05


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_without_a_limit_the_tokenizer_has_the_sentinel(architecture: str, tmp_path: Path) -> None:
    build(Recipe(architecture, model_max_length=None), tmp_path)
    assert transformers.AutoTokenizer.from_pretrained(tmp_path).model_max_length > 1e20
