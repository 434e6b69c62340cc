"""On the GPU if there is one, else on the CPU: every architecture in every precision; room for any batch."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny_checkpoints as tiny
import torch
from tiny_checkpoints import ADVERSARIAL_TEXTS, ARCHITECTURES, Recipe
from transformers import pipeline

from pipeline_lib import Scorer, loading
from pipeline_lib.computation import TOKENS_PER_BATCH
from pipeline_lib.config import ModelSettings
from pipeline_lib.packed_engine import PackedEngine
from pipeline_lib.torch_engine import TorchEngine, budget_on_gpu

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
TEXTS = [text for text in ADVERSARIAL_TEXTS if text.strip()]


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_precision_is_as_near_to_float32_as_the_pipeline(
    architecture: str, precision: str, tmp_path: Path
) -> None:
    if (DEVICE, precision) == ("cpu", "float16"):
        pytest.skip("PyTorch has no kernels for all of float16 on CPUs")
    folder = tiny.build(Recipe(architecture), tmp_path / "model")
    settings = {"model": {"name": str(folder), "precision": precision}, "output": {"scores": "all"}}
    found = np.array(Scorer(settings, DEVICE)(pd.DataFrame({"text": TEXTS}))["scores"].to_list())
    right = _oracle(folder, "cpu", "float32")
    theirs = np.abs(_oracle(folder, DEVICE, precision) - right).max()
    allowed = 1e-5 if precision == "float32" else 2 * theirs + 0.02
    assert np.abs(found - right).max() <= allowed


def _oracle(folder: Path, device: str, precision: str) -> np.ndarray:
    """Return the pipeline's scores of all labels, shape [texts, labels]."""
    kind = getattr(torch, precision)
    classify = pipeline("text-classification", model=str(folder), device=device, dtype=kind, top_k=None)
    found = [{entry["label"]: entry["score"] for entry in row} for row in classify(TEXTS, truncation=True)]
    return np.array([[row[label] for label in classify.model.config.id2label.values()] for row in found])


@pytest.mark.skipif(DEVICE == "cpu", reason="needs a GPU")
def test_a_batch_that_is_too_large_for_the_card_is_halved(tmp_path: Path) -> None:
    folder = tiny.build(Recipe("bert"), tmp_path / "model")
    torch.cuda.set_per_process_memory_fraction(0.002)
    try:
        settings = {"model": {"name": str(folder)}, "tuning": {"tokens_per_batch": 1 << 24}}
        texts = [f"text number {number} of many" for number in range(200_000)]
        found = Scorer(settings, DEVICE)(pd.DataFrame({"text": texts}))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert found["reject"].isna().all()
    assert found["score"].notna().all()


@pytest.mark.skipif(DEVICE == "cpu", reason="needs a GPU")
@pytest.mark.parametrize("engine", [TorchEngine, PackedEngine])
def test_the_budget_is_found_from_memory(engine: Callable[..., TorchEngine], tmp_path: Path) -> None:
    folder = tiny.build(Recipe("bert"), tmp_path / "model")
    model = loading.load_model(folder, ModelSettings(name=str(folder)), "bfloat16")
    ready = engine(model, ("input_ids", "attention_mask"), DEVICE)
    budget = budget_on_gpu(ready, [2, 5, 3], TOKENS_PER_BATCH["cuda"])
    assert budget == TOKENS_PER_BATCH["cuda"]
    ids = np.full(512, 5, np.int32)
    rows = [ids] * (budget // 512)
    assert np.isfinite(ready.logits(rows, [np.zeros_like(ids)] * len(rows))).all()
