"""The answers are those of `pipeline("text-classification")` at batch size 1, for every kind of checkpoint.

The whole job runs once for every architecture, each time cut differently, and for a few of them on Ray; the many
other kinds of checkpoints go through the same steps.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline_lib import Scorer
from tests.conftest import QUICK_ARCHITECTURES, Runner, SettingsMaker, read_output, write_parquet
from tests.helpers.checkpoints import tiny_checkpoints as tiny
from tests.helpers.checkpoints.tiny_checkpoints import ADVERSARIAL_TEXTS, ARCHITECTURES, Recipe

TOLERANCE = 1e-5
EVERYTHING = {"scores": "all", "logits": True}
NO_TOKENS_FOR_EMPTY = {"gpt2", "qwen2", "opt"}

# (rows in a slice, tokens in a batch, model actors): one kind of cut for each architecture in turn.
CUTS = [(7, 64, 1), (1000, 4096, 1), (13, 200, 2), (5, 1, 1)]
PAIRS: list[tuple[str, str]] = [
    ("a fine kettle", "it boils"),
    ("a fine kettle", ""),
    ("", "only the second"),
    ("long first " * 60, "short"),
    ("short", "long second " * 60),
    ("🙂", "مرحبا"),
]


def assert_same(found: Sequence[dict[str, Any]], expected: Sequence[tiny.Answer]) -> None:
    """Compare scored rows, in the order of the texts, with the oracle's answers."""
    assert len(found) == len(expected)
    for row, answer in zip(found, expected, strict=True):
        np.testing.assert_allclose(row["scores"], answer.scores, rtol=0, atol=TOLERANCE)
        assert abs(row["score"] - answer.score) <= TOLERANCE
        assert row["label"] == answer.label
        assert row["n_tokens"] == answer.n_tokens


def texts_for(architecture: str) -> list[str]:
    """Return the adversarial texts that this architecture's tokenizer finds tokens in."""
    return [text for text in ADVERSARIAL_TEXTS if text or architecture not in NO_TOKENS_FOR_EMPTY]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_whole_job_answers_as_the_pipeline_does(
    architecture: str, tmp_path: Path, settings_for: SettingsMaker, run_job: Runner, run_here: Runner
) -> None:
    rows, tokens, actors = CUTS[ARCHITECTURES.index(architecture) % len(CUTS)]
    folder = tiny.build(Recipe(architecture, num_labels=3), tmp_path / "model")
    texts = texts_for(architecture)
    write_parquet(tmp_path / "in" / "texts.parquet", {"at": range(len(texts)), "text": texts})
    settings = settings_for(
        model={"name": str(folder)},
        output=EVERYTHING,
        tuning={"rows_per_slice": rows, "tokens_per_batch": tokens, "model_actors": actors},
    )
    # On Ray for a few: the bytes are the same, and a worker of Ray takes seconds to import PyTorch.
    (run_job if architecture in QUICK_ARCHITECTURES else run_here)(settings)
    found = read_output(tmp_path / "out").sort_by("at").to_pylist()
    assert_same(found, tiny.oracle(folder, texts, 64))


def score(folder: Path, texts: Sequence[str | tuple[str, str]], **model: Any) -> list[dict[str, Any]]:
    """Score texts or pairs with the steps alone, in small batches."""
    pairs = [text if isinstance(text, tuple) else (text, None) for text in texts]
    scorer = Scorer(
        {
            "model": {"name": str(folder), **model},
            "input": {"text_pair_column": "pair"},
            "output": EVERYTHING,
            "tuning": {"tokens_per_batch": 256},
        }
    )
    table = pa.table({"text": [first for first, _ in pairs], "pair": [second for _, second in pairs]})
    rows: list[dict[str, Any]] = scorer(table).to_pylist()
    return rows


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, *tiny.EXTRA_ARCHITECTURES])
def test_every_architecture_agrees_on_texts_and_pairs(architecture: str, tmp_path: Path) -> None:
    # Three labels, since BART's configuration forgets two.
    folder = tiny.build(Recipe(architecture, num_labels=3), tmp_path)
    texts: list[str | tuple[str, str]] = [*texts_for(architecture), *(pair for pair in PAIRS if pair[0] or pair[1])]
    assert_same(score(folder, texts), tiny.oracle(folder, texts, 64))


@pytest.mark.parametrize(
    ("num_labels", "problem_type"),
    [
        (1, None),
        (1, "regression"),
        (3, "regression"),
        (4, "multi_label_classification"),
        (4, "single_label_classification"),
    ],
)
@pytest.mark.parametrize("architecture", ["bert", "roberta", "gpt2"])
def test_every_problem_type_gets_the_pipelines_activation(
    architecture: str, num_labels: int, problem_type: str | None, tmp_path: Path
) -> None:
    folder = tiny.build(Recipe(architecture, num_labels=num_labels, problem_type=problem_type), tmp_path)
    texts = texts_for(architecture)
    assert_same(score(folder, texts), tiny.oracle(folder, texts, 64))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_sentinel_limit_falls_back_to_the_models_positions(architecture: str, tmp_path: Path) -> None:
    folder = tiny.build(Recipe(architecture, model_max_length=None), tmp_path)
    texts = texts_for(architecture)
    assert_same(score(folder, texts), tiny.oracle(folder, texts, 64))


@pytest.mark.parametrize("architecture", ["bert", "roberta", "gpt2"])
def test_a_limit_of_the_user_truncates_as_the_pipeline_does(architecture: str, tmp_path: Path) -> None:
    folder = tiny.build(Recipe(architecture), tmp_path)
    texts = texts_for(architecture)
    found = score(folder, texts, max_tokens=9)
    assert_same(found, tiny.oracle(folder, texts, 9))
    assert [row["truncated"] for row in found] == [row["n_tokens"] > 9 for row in found]


@pytest.mark.parametrize("pad", ["none", "eos"])
@pytest.mark.parametrize("architecture", ["gpt2", "qwen2"])
def test_decoders_without_a_pad_token_of_their_own_agree(architecture: str, pad: Any, tmp_path: Path) -> None:
    folder = tiny.build(Recipe(architecture, pad=pad), tmp_path)
    texts = texts_for(architecture)
    assert_same(score(folder, texts), tiny.oracle(folder, texts, 64))


def test_repeated_label_names_are_distinguished_by_their_index(tmp_path: Path) -> None:
    folder = tiny.build(Recipe("bert", num_labels=3, labels=("same", "same", "other")), tmp_path)
    texts = texts_for("bert")
    assert_same(score(folder, texts), tiny.oracle(folder, texts, 64))


def test_half_precision_weights_are_scored_in_float32_unless_asked_otherwise(tmp_path: Path) -> None:
    folder = tiny.build(Recipe("bert", dtype="float16"), tmp_path)
    texts = texts_for("bert")
    assert_same(score(folder, texts), tiny.oracle(folder, texts, 64))
