"""On the GPU if there is one, else on the CPU: every architecture in every precision, and memory for any batch."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import pipeline

from pipeline_lib import Scorer
from pipeline_lib.checkpoints import loading
from pipeline_lib.engines.batching import BatchMemory
from pipeline_lib.engines.computation import TOKENS_PER_BATCH
from pipeline_lib.engines.device_memory import measure_batch_memory, row_of_length
from pipeline_lib.engines.packed.packed_engine import PackedEngine
from pipeline_lib.engines.torch_engine import TorchEngine
from pipeline_lib.settings.sections.model import ModelSettings
from pipeline_lib.settings.sections.tuning import Device
from tests.helpers.checkpoints import tiny_checkpoints as tiny
from tests.helpers.checkpoints.tiny_checkpoints import ADVERSARIAL_TEXTS, ARCHITECTURES, Recipe

DEVICE: Device = "cuda" if torch.cuda.is_available() else "cpu"
_LITTLE = 256 << 20
"""Bytes of a GPU that hold the tiny model and what libraries need, and by far not the batch."""
TEXTS = [text for text in ADVERSARIAL_TEXTS if text.strip()]


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_precision_is_as_near_to_float32_as_the_pipeline(
    architecture: str, precision: str, tmp_path: Path
) -> None:
    if (DEVICE, precision) == ("cpu", "float16"):
        pytest.skip("PyTorch has no kernels for all of float16 on CPUs")
    folder = tiny.build(Recipe(architecture), tmp_path / "model")
    settings = {"model": {"name": str(folder), "precision": precision}, "output": {"scores": "all", "logits": True}}
    found = Scorer(settings, DEVICE)(pd.DataFrame({"text": TEXTS}))
    right = _oracle(folder, "cpu", "float32", "softmax")
    if precision == "float32":
        assert np.abs(np.array(found["scores"].to_list()) - right).max() <= 1e-5
        return
    logits = _oracle(folder, "cpu", "float32", "none")
    theirs = np.abs(_oracle(folder, DEVICE, precision, "none") - logits).max()
    # Dozens of roundings follow one another in these layers, each of half a unit in the last place of numbers as
    # large as the largest logit; measured are 4 to 20 units, by the pipeline too.
    units = 40 * torch.finfo(getattr(torch, precision)).eps * np.abs(logits).max() / 2
    assert np.abs(np.array(found["logits"].to_list()) - logits).max() <= max(units, 2 * theirs)


@pytest.mark.parametrize("pooling", ["first", "mean", "last"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_embeddings_in_every_precision_are_near_those_in_float32(
    precision: str, pooling: str, tmp_path: Path
) -> None:
    """Rows are packed on a GPU in half precision, and padded otherwise."""
    folder = tiny.build(Recipe("bert"), tmp_path / "model")
    settings = {"model": {"name": str(folder), "precision": precision}, "output": {"embedding": pooling}}
    found = Scorer(settings, DEVICE)(pd.DataFrame({"text": TEXTS}))
    right = np.stack([tiny.pooled(hidden, pooling) for hidden in tiny.hidden_states(folder, TEXTS, 64)])
    eps = torch.finfo(getattr(torch, precision)).eps
    allowed = 40 * eps * np.abs(right).max() / 2 if precision != "float32" else 1e-5 * max(1, np.abs(right).max())
    assert np.abs(np.stack(found["embedding"].to_list()) - right).max() <= allowed


def _oracle(folder: Path, device: str, precision: str, activation: str) -> np.ndarray:
    """Return the pipeline's scores or logits of all labels, shape [texts, labels]."""
    kind = getattr(torch, precision)
    classify = pipeline("text-classification", model=str(folder), device=device, dtype=kind, top_k=None)
    answers = classify(TEXTS, truncation=True, function_to_apply=activation)
    found = [{entry["label"]: entry["score"] for entry in row} for row in answers]
    return np.array([[row[label] for label in classify.model.config.id2label.values()] for row in found])


@pytest.mark.skipif(DEVICE == "cpu", reason="needs a GPU")
def test_a_batch_that_is_too_large_for_the_card_is_halved(tmp_path: Path) -> None:
    folder = tiny.build(Recipe("bert"), tmp_path / "model")
    whole = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(_LITTLE / whole, 1.0))
    try:
        settings = {"model": {"name": str(folder)}, "tuning": {"tokens_per_batch": 1 << 24}}
        texts = [f"text number {number} of many" for number in range(200_000)]
        found = Scorer(settings, DEVICE)(pd.DataFrame({"text": texts}))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert found["reject"].isna().all()
    assert found["score"].notna().all()


@pytest.mark.parametrize("limit", [5, 64, 512])
@pytest.mark.parametrize("engine", [TorchEngine, PackedEngine])
def test_rows_as_long_as_may_be_are_answered_in_the_batches_that_there_is_room_for(
    engine: Callable[..., TorchEngine], limit: int, tmp_path: Path
) -> None:
    folder = tiny.build(Recipe("bert", max_positions=limit, model_max_length=limit), tmp_path / "model")
    model = loading.load_model(folder, ModelSettings(name=str(folder)), "bfloat16")
    ready = engine(model, ("input_ids", "attention_mask"), DEVICE)
    probe = [2, 5, 3]
    memory = measure_batch_memory(ready, probe, limit, 1.0) if DEVICE == "cuda" else BatchMemory()
    tokens = TOKENS_PER_BATCH[DEVICE]
    rows = np.arange(max(tokens // limit, 1))
    parts = list(memory.split(rows, np.full(len(rows), limit, np.int32)))
    assert len(parts) == 1, "a tiny model has room for any batch"
    row = row_of_length(probe, limit)
    found = ready.logits([row] * len(rows), [np.zeros_like(row)] * len(rows))
    assert found.shape == (len(rows), 2)
    assert np.isfinite(found).all()


@pytest.mark.skipif(DEVICE == "cpu", reason="needs a GPU")
def test_the_memory_that_batches_need_is_predicted(tmp_path: Path) -> None:
    folder = tiny.build(Recipe("bert", max_positions=512, model_max_length=512), tmp_path / "model")
    model = loading.load_model(folder, ModelSettings(name=str(folder)), "float32")
    ready = TorchEngine(model, ("input_ids", "attention_mask"), DEVICE)
    memory = measure_batch_memory(ready, [2, 5, 3], 512, 1.0)
    assert memory.usable <= torch.cuda.mem_get_info()[1] / 2
    for length in (64, 256, 512):
        rows = [row_of_length([2, 5, 3], length)] * 32
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        ready.logits(rows, [np.zeros_like(row) for row in rows])
        assert torch.cuda.max_memory_allocated() - before <= 1.5 * memory.needed(len(rows), length) + _LITTLE / 16
