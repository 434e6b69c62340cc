"""Rows packed end to end get the answers they get alone; an architecture that can't be packed is found out."""

from pathlib import Path

import numpy as np
import pytest
import tiny_checkpoints as tiny
from tiny_checkpoints import ADVERSARIAL_TEXTS, ARCHITECTURES, EXTRA_ARCHITECTURES, Recipe

from pipeline_lib import loading
from pipeline_lib.config import ModelSettings
from pipeline_lib.packed_engine import PackedEngine, can_be_packed
from pipeline_lib.torch_engine import TorchEngine

# Their positions are relative, or they look for padding; they are run on padded batches.
CANT_BE_PACKED = {"bart", "deberta-v2", "mpnet", "opt", "t5", "xlnet"}


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, *EXTRA_ARCHITECTURES])
def test_packed_rows_answer_as_they_do_alone(architecture: str, tmp_path: Path) -> None:
    folder = tiny.build(Recipe(architecture, num_labels=3), tmp_path / "model")
    settings = ModelSettings(name=str(folder))
    tokenizer, model = loading.load_tokenizer(folder, settings), loading.load_model(folder, settings, "float32")
    inputs = tokenizer.model_input_names
    encoded = tokenizer([text for text in ADVERSARIAL_TEXTS if text], truncation=True, max_length=60)
    rows = [np.array(ids, np.int32) for ids in encoded["input_ids"]]
    types = [np.zeros_like(row) for row in rows]
    engine = TorchEngine(model, inputs, "cpu")
    alone = np.concatenate([engine.logits([row], [kind]) for row, kind in zip(rows, types, strict=True)])
    packable = architecture not in CANT_BE_PACKED
    assert can_be_packed(loading.load_model(folder, settings, "float32"), inputs, rows, types) == packable
    if packable:
        packed = PackedEngine(loading.load_model(folder, settings, "float32"), inputs, "cpu")
        # Another order of summing moves a logit by some units in the last place of the largest ones.
        allowed = 1e-5 * max(1.0, float(np.abs(alone).max()))
        np.testing.assert_allclose(packed.logits(rows, types), alone, rtol=0, atol=allowed)
        np.testing.assert_allclose(packed.logits(rows[:1], types[:1]), alone[:1], rtol=0, atol=allowed)
