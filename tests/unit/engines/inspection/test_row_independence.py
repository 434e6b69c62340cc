"""A text gets the answer that it gets alone, whatever texts are beside or before it; or the model is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline_lib import Scorer
from pipeline_lib.engines.inspection.inspector import inspect_checkpoint
from pipeline_lib.settings.settings_file import parse_settings
from tests.helpers.checkpoints import any_architecture
from tests.helpers.checkpoints import tiny_checkpoints as tiny
from tests.helpers.checkpoints.survey_architectures import survey

pytestmark = pytest.mark.slow

SHORT, MIDDLE, LONG = (
    "w1 w2 w3",
    " ".join(f"w{n * 7 % 250}" for n in range(90)),
    " ".join(f"w{n * 13 % 241}" for n in range(800)),
)
LOCAL = {"attn_layers": ["local", "local"]}


def logits(folder: Path, texts: list[str]) -> np.ndarray:
    settings = {"model": {"name": str(folder), "engine": "torch"}, "output": {"logits": True, "scores": "all"}}
    return np.array(Scorer(settings)(pa.table({"text": texts})).column("scores").to_pylist())


@pytest.mark.parametrize(
    ("architecture", "changes"),
    [("phi3", {}), ("big_bird", {}), ("reformer", LOCAL), ("longformer", {}), ("gpt_neo", {}), ("gemma2", {})],
)
def test_a_text_is_scored_as_it_is_alone(architecture: str, changes: dict[str, Any], tmp_path: Path) -> None:
    folder = any_architecture.build(architecture, tmp_path, **changes)
    texts = [SHORT, LONG, MIDDLE, "w9 w8"]
    expected = np.array([tiny.oracle(folder, [text], 1024)[0].scores for text in texts])
    np.testing.assert_allclose(logits(folder, texts), expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(logits(folder, texts[::-1]), expected[::-1], rtol=0, atol=1e-5)
    # One slice after another, as a long run has them.
    scorer = Scorer({"model": {"name": str(folder), "engine": "torch"}, "output": {"scores": "all"}})
    for at in (1, 0, 2, 1, 3, 0):
        found = scorer(pa.table({"text": [texts[at]]})).column("scores").to_pylist()[0]
        np.testing.assert_allclose(found, expected[at], rtol=0, atol=1e-5)


@pytest.mark.parametrize("architecture", ["mpt", "mra", "nystromformer", "yoso"])
def test_the_limit_is_what_the_model_can_take(architecture: str, tmp_path: Path) -> None:
    folder = any_architecture.build(architecture, tmp_path)
    sections = {"model": {"name": str(folder), "engine": "torch"}, "input": {"path": "-"}, "output": {"path": "-"}}
    assert inspect_checkpoint(parse_settings(sections)).max_tokens == any_architecture.POSITIONS


@pytest.mark.parametrize(
    ("architecture", "verdict"),
    [
        ("bert", "packed, padded, equal lengths"),
        ("phi3", "equal lengths"),
        ("big_bird", "equal lengths, put back after each batch"),
        ("longformer", "padded, equal lengths"),
        ("gemma2", "padded, equal lengths"),
        ("gpt_oss", "padded, equal lengths"),
        ("modernbert", "packed, padded, equal lengths"),
        ("diffllama", "packed, padded, equal lengths"),
    ],
)
def test_difficult_architectures_are_batched_only_in_ways_that_are_right(architecture: str, verdict: str) -> None:
    line = survey(architecture)
    assert line.verdict == verdict
    for way, found in line.ways().items():
        assert max(found.logits, found.scores) <= 1e-5, way
        assert not found.labels, way
