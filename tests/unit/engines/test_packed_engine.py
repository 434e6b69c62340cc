"""Rows packed end to end get the answers that they get alone; architectures that can't be packed are detected."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline_lib.checkpoints import loading
from pipeline_lib.checkpoints.checkpoint import Checkpoint, TokenizedTexts
from pipeline_lib.engines.engine import largest_difference
from pipeline_lib.engines.inspection.inspector import inspect_checkpoint
from pipeline_lib.engines.inspection.packing_check import packs_on, why_not_packed
from pipeline_lib.engines.inspection.probe_answers import answers_alone
from pipeline_lib.engines.packed.packed_attention import kernel_refuses
from pipeline_lib.engines.packed.packed_engine import PackedEngine
from pipeline_lib.engines.torch_engine import TorchEngine
from pipeline_lib.settings.sections.model import ModelSettings
from pipeline_lib.settings.settings_file import parse_settings
from tests.helpers.checkpoints import any_architecture
from tests.helpers.checkpoints import tiny_checkpoints as tiny
from tests.helpers.checkpoints.tiny_checkpoints import ADVERSARIAL_TEXTS, ARCHITECTURES, EXTRA_ARCHITECTURES, Recipe

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
    alone = answers_alone(engine, TokenizedTexts.of(zip(rows, types, strict=True)))
    packable = architecture not in CANT_BE_PACKED
    assert (why_not_packed(model, inputs, alone, "cpu") is None) == packable
    again = answers_alone(engine, alone.texts.take([0]))
    assert np.array_equal(again.logits, alone.logits[:1])  # it is as it was
    if packable:
        packed = PackedEngine(model, inputs, "cpu")
        assert largest_difference(packed.logits(rows, types), alone.logits) <= 1e-5
        assert largest_difference(packed.logits(rows[:1], types[:1]), alone.logits[:1]) <= 1e-5


@pytest.mark.parametrize(
    ("architecture", "changes", "unknown"),
    [
        ("gemma2", {}, "softcap"),
        ("gpt_oss", {}, "s_aux"),
        ("phi3", {}, "logits are"),
        ("falcon", {}, "can't be replaced"),
    ],
)
def test_packed_attention_refuses_what_it_does_not_know(
    architecture: str, changes: dict[str, Any], unknown: str, tmp_path: Path
) -> None:
    folder = any_architecture.build(architecture, tmp_path, **changes)
    settings = ModelSettings(name=str(folder))
    model, inputs = loading.load_model(folder, settings, "float32"), ("input_ids", "attention_mask")
    chance = np.random.default_rng(0)
    rows = [chance.integers(10, 200, length).astype(np.int32) for length in (4, 300, 90)]
    texts = TokenizedTexts.of((row, np.zeros_like(row)) for row in rows)
    alone = answers_alone(TorchEngine(model, inputs, "cpu"), texts)
    assert unknown in (why_not_packed(model, inputs, alone, "cpu") or "")


@pytest.mark.parametrize(
    ("capability", "widths", "refuses"),
    [
        ((8, 0), (64, 64, 64), None),
        ((9, 0), (256, 256, 256), None),
        ((12, 0), (8, 8, 8), None),
        ((7, 5), (64, 64, 64), "compute capability is 7.5, and 8.0 is needed"),
        ((7, 0), (64, 64, 64), "compute capability is 7.0"),
        ((8, 6), (26, 26, 26), "26 wide, and must be a multiple of 8"),
        ((8, 6), (264, 264, 264), "264 wide"),
        ((8, 6), (64, 64, 128), "must be alike"),
    ],
)
def test_the_kernel_refuses_cards_and_heads_that_it_does_not_support(
    capability: tuple[int, int], widths: tuple[int, int, int], refuses: str | None
) -> None:
    found = kernel_refuses(capability, widths)
    assert found is None if refuses is None else refuses in (found or "")


def inspected(folder: Path, precision: str) -> Checkpoint:
    sections = {
        "model": {"name": str(folder), "precision": precision},
        "input": {"path": "-"},
        "output": {"path": "-"},
    }
    return inspect_checkpoint(parse_settings(sections))


@pytest.mark.parametrize("precision", ["bfloat16", "float16", "auto"])
def test_half_precision_packs_where_the_device_does_and_the_result_is_kept(
    precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    dtype = "bfloat16" if precision == "auto" else precision
    folder = tiny.build(Recipe("bert", dtype=dtype), tmp_path / "model")
    checkpoint = inspected(folder, precision)
    assert checkpoint.packs_safely
    settings = ModelSettings.model_validate({"name": str(folder), "precision": precision})
    model = loading.load_model(folder, settings, precision)
    assert packs_on(lambda: model, settings, checkpoint, "cpu")
    (kept,) = (tmp_path / "home" / "nightscore" / "packed").iterdir()
    kept.write_text('{"packs": false}')
    assert not packs_on(lambda: model, settings, checkpoint, "cpu")
    kept.write_text("cut o")
    assert packs_on(lambda: model, settings, checkpoint, "cpu")
    assert '"packs": true' in kept.read_text()


def test_float32_never_packs_nor_does_a_model_whose_packing_is_wrong_in_float32(tmp_path: Path) -> None:
    folder = tiny.build(Recipe("bert"), tmp_path / "model")
    half, full, by_weights = (
        ModelSettings.model_validate({"name": str(folder), "precision": precision})
        for precision in ("bfloat16", "float32", "auto")
    )
    checkpoint = inspected(folder, "bfloat16")
    model = loading.load_model(folder, half, "bfloat16")
    assert not packs_on(lambda: model, half, replace(checkpoint, packs_safely=False), "cpu")
    model = loading.load_model(folder, full, "float32")
    assert not packs_on(lambda: model, full, checkpoint, "cpu")
    assert not packs_on(lambda: model, by_weights, checkpoint, "cpu")


def test_a_device_that_fails_or_answers_otherwise_does_not_pack(tmp_path: Path) -> None:
    folder = tiny.build(Recipe("bert"), tmp_path / "model")
    model = loading.load_model(folder, ModelSettings(name=str(folder)), "bfloat16")
    rows = [np.array(row, np.int32) for row in ([2, 9, 3], [2, *range(10, 50), 3])]
    inputs = ("input_ids", "attention_mask", "token_type_ids")
    texts = TokenizedTexts.of((row, np.zeros_like(row)) for row in rows)
    alone = answers_alone(TorchEngine(model, inputs, "cpu"), texts)
    assert why_not_packed(model, inputs, alone, "cpu") is None
    assert "off" in (why_not_packed(model, inputs, alone._replace(logits=alone.logits + 1), "cpu") or "")
    assert "off" in (why_not_packed(model, inputs, alone._replace(logits=alone.logits * np.nan), "cpu") or "")
    assert why_not_packed(model, inputs, alone, "no such device") is not None
