"""The last layer computes the first token alone where the head reads no other, and the answers stay the same."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from pipeline_lib.checkpoints import loading
from pipeline_lib.checkpoints.checkpoint import TokenizedTexts
from pipeline_lib.engines.batching import padded
from pipeline_lib.engines.engine import Floats, Ids
from pipeline_lib.engines.inspection.cls_pooling_check import compute_cls_only
from pipeline_lib.engines.inspection.probe_answers import AnsweredTexts
from pipeline_lib.engines.torch_engine import TorchEngine
from pipeline_lib.settings.sections.model import ModelSettings
from tests.helpers.checkpoints import tiny_checkpoints as tiny
from tests.helpers.checkpoints.tiny_checkpoints import ADVERSARIAL_TEXTS, ARCHITECTURES, EXTRA_ARCHITECTURES, Recipe

POOLS_THE_FIRST_TOKEN = {"bert", "camembert", "distilbert", "electra", "roberta", "xlm-roberta"}
REFUSE_TO_BE_PADDED = {"bart", "opt", "t5"}
Probes = tuple[list[Ids], list[Ids]]


def loaded(architecture: str, folder: Path) -> tuple[Any, list[str], Probes]:
    settings = ModelSettings(name=str(tiny.build(Recipe(architecture, num_labels=3), folder)))
    tokenizer, model = loading.load_tokenizer(folder, settings), loading.load_model(folder, settings, "float32")
    encoded = tokenizer([text for text in ADVERSARIAL_TEXTS if text], truncation=True, max_length=60)
    rows = [np.array(ids, np.int32) for ids in encoded["input_ids"]]
    return model, tokenizer.model_input_names, (rows, [np.zeros_like(row) for row in rows])


def answered(probes: Probes, logits: Floats) -> AnsweredTexts:
    return AnsweredTexts(TokenizedTexts.of(zip(*probes, strict=True)), logits)


def flops(model: Any, probes: Probes) -> int:
    ids, mask = (torch.from_numpy(array) for array in padded(probes[0], 0))
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(input_ids=ids, attention_mask=mask)
    return int(counter.get_total_flops())


@pytest.mark.parametrize("architecture", sorted({*ARCHITECTURES, *EXTRA_ARCHITECTURES} - REFUSE_TO_BE_PADDED))
def test_every_architecture_answers_as_before(architecture: str, tmp_path: Path) -> None:
    model, inputs, probes = loaded(architecture, tmp_path / "model")
    engine = TorchEngine(model, inputs, "cpu")
    before = engine.logits(*probes)
    assert compute_cls_only(model, inputs, [answered(probes, before)]) == (architecture in POOLS_THE_FIRST_TOKEN)
    np.testing.assert_allclose(engine.logits(*probes), before, rtol=0, atol=1e-5)


def test_it_computes_less(tmp_path: Path) -> None:
    model, inputs, probes = loaded("bert", tmp_path / "model")
    whole = flops(model, probes)
    assert compute_cls_only(model, inputs, [answered(probes, TorchEngine(model, inputs, "cpu").logits(*probes))])
    assert flops(model, probes) < (1 - 0.6 / model.config.num_hidden_layers) * whole


def test_a_head_that_reads_all_tokens_is_detected_and_left_as_it_was(tmp_path: Path) -> None:
    model, inputs, probes = loaded("bert", tmp_path / "model")

    class Mean(torch.nn.Module):
        """A pooler as in no model of transformers."""

        def forward(self, hidden: torch.Tensor) -> torch.Tensor:
            return hidden.mean(dim=1)

    model.bert.pooler = Mean()
    engine = TorchEngine(model, inputs, "cpu")
    before, whole = engine.logits(*probes), flops(model, probes)
    assert not compute_cls_only(model, inputs, [answered(probes, before)])
    assert np.array_equal(engine.logits(*probes), before)
    assert flops(model, probes) == whole
