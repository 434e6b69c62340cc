"""Embeddings are those of `AutoModel` on each text alone, pooled, whatever batch or engine computes them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline_lib import Scorer
from pipeline_lib.checkpoints import loading
from pipeline_lib.engines.embedding import add_embedding, width_of
from pipeline_lib.engines.inspection.inspector import inspect_checkpoint
from pipeline_lib.engines.packed.packed_engine import PackedEngine
from pipeline_lib.errors import CheckpointError
from pipeline_lib.planning.discovery import discover
from pipeline_lib.planning.planner import make_plan
from pipeline_lib.settings.sections.model import ModelSettings
from pipeline_lib.settings.sections.output import Pooling
from pipeline_lib.settings.settings_file import parse_settings
from tests.conftest import Runner, SettingsMaker, read_output, write_parquet
from tests.helpers.checkpoints import any_architecture
from tests.helpers.checkpoints import tiny_checkpoints as tiny
from tests.helpers.checkpoints.tiny_checkpoints import ADVERSARIAL_TEXTS, ARCHITECTURES, EXTRA_ARCHITECTURES, Recipe

TOLERANCE = 1e-5
POOLINGS: tuple[Pooling, ...] = ("first", "mean", "last")
TEXTS = [text for text in ADVERSARIAL_TEXTS if text]
ONE_EACH: dict[str, tuple[Pooling, ...]] = {"bert": ("mean",), "xlm-roberta": ("first",), "gpt2": ("last",)}
# Their rows can't be laid end to end; see test_packed_engine.py.
PADDED_ONLY = {"bart", "deberta-v2", "mpnet", "opt", "t5", "xlnet"}
# See test_engine_choice.py.
NOT_FOR_OPENVINO = {"bart", "opt", "t5"}


def sections_of(folder: Path, pooling: Pooling, engine: str = "torch") -> dict[str, dict[str, Any]]:
    return {
        "model": {"name": str(folder), "engine": engine},
        "input": {"path": "-"},
        "output": {"path": "-", "embedding": pooling, "scores": "all"},
        "tuning": {"tokens_per_batch": 256},
    }


def expected(folder: Path, pooling: Pooling) -> np.ndarray:
    return np.stack([tiny.pooled(hidden, pooling) for hidden in tiny.hidden_states(folder, TEXTS, 64)])


def assert_close(found: np.ndarray, wanted: np.ndarray) -> None:
    """Compare embeddings, relative to the largest number of each where that is above 1."""
    scale = np.maximum(np.abs(wanted).max(axis=1, keepdims=True), 1)
    np.testing.assert_allclose(found / scale, wanted / scale, rtol=0, atol=TOLERANCE)


def assert_embeddings(sections: Mapping[str, Any], wanted: np.ndarray) -> None:
    """Compare embeddings in an order that mixes lengths, with texts that come twice, with the oracle's."""
    scorer = Scorer(sections)
    order = [*np.random.default_rng(0).permutation(len(TEXTS)).tolist(), 0, 7, 0]
    found = scorer(pa.table({"text": [TEXTS[at] for at in order]}))
    assert found.schema.field("embedding").type == pa.list_(pa.float32(), wanted.shape[1])
    vectors = np.array(found.column("embedding").to_pylist(), np.float32)
    assert_close(vectors, wanted[order])
    assert np.array_equal(vectors[order.index(0)], vectors[-1])
    without = {**sections, "output": {**sections["output"], "embedding": "none"}}
    plain = Scorer(without)(pa.table({"text": TEXTS})).take(pa.array(order))
    for mine, theirs in zip(found.column("scores").to_pylist(), plain.column("scores").to_pylist(), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, *EXTRA_ARCHITECTURES])
def test_every_architecture_gives_the_embedding_of_the_row_alone(architecture: str, tmp_path: Path) -> None:
    folder = tiny.build(Recipe(architecture, num_labels=3), tmp_path)
    for pooling in POOLINGS:
        assert_embeddings(sections_of(folder, pooling), expected(folder, pooling))


@pytest.mark.openvino
@pytest.mark.parametrize("architecture", [*ARCHITECTURES, *EXTRA_ARCHITECTURES])
def test_openvino_gives_the_embedding_of_the_row_alone_or_is_refused(
    architecture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tiny.build(Recipe(architecture, num_labels=3), tmp_path / "model")
    # A conversion takes seconds: one for each of the quick architectures.
    for pooling in ONE_EACH.get(architecture, POOLINGS):
        sections = sections_of(folder, pooling, "openvino")
        if architecture in NOT_FOR_OPENVINO:
            with pytest.raises(CheckpointError, match=r"model\.engine: openvino can't run .*; use torch"):
                Scorer(sections)
        else:
            assert_embeddings(sections, expected(folder, pooling))


@pytest.mark.parametrize(
    "architecture", [each for each in (*ARCHITECTURES, *EXTRA_ARCHITECTURES) if each not in PADDED_ONLY]
)
def test_rows_laid_end_to_end_get_the_embedding_of_the_row_alone(architecture: str, tmp_path: Path) -> None:
    folder = tiny.build(Recipe(architecture, num_labels=3), tmp_path)
    settings = ModelSettings(name=str(folder))
    tokenizer = loading.load_tokenizer(folder, settings)
    encoded = tokenizer(TEXTS, truncation=True, max_length=64)["input_ids"]
    rows = [np.array(ids, np.int32) for ids in encoded]
    types = [np.zeros_like(row) for row in rows]
    for pooling in POOLINGS:
        model = loading.load_model(folder, settings, "float32")
        add_embedding(model, pooling)
        packed = PackedEngine(model, tokenizer.model_input_names, "cpu")
        found = packed.logits(rows, types)[:, 3:]
        assert_close(found, expected(folder, pooling))
        assert width_of(model) == found.shape[1]
        assert_close(packed.logits(rows[:1], types[:1])[:, 3:], found[:1])


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["big_bird", "gemma2", "longformer", "jamba", "phi3", "umt5"])
def test_architectures_that_depend_on_lengths_or_keep_state_give_the_embedding_of_the_row_alone(
    architecture: str, tmp_path: Path
) -> None:
    folder = any_architecture.build(architecture, tmp_path)
    texts = ["w1 w2 w3", " ".join(f"w{n * 7 % 250}" for n in range(90)), "w9 w8 w4 w5 w6"]
    for pooling in POOLINGS:
        found = Scorer(sections_of(folder, pooling))(pa.table({"text": texts})).column("embedding").to_pylist()
        wanted = [tiny.pooled(hidden, pooling) for hidden in tiny.hidden_states(folder, texts, 1_024)]
        assert_close(np.array(found), np.stack(wanted))


def test_the_narrowed_last_layer_serves_the_first_token_and_no_other_pooling(checkpoint: Path) -> None:
    narrowed = {
        pooling: inspect_checkpoint(parse_settings(sections_of(checkpoint, pooling))).cls_pooling
        for pooling in POOLINGS
    }
    assert narrowed == {"first": True, "mean": False, "last": False}


@pytest.mark.parametrize(("architecture", "why"), [("funnel", "FunnelBaseModel, and not FunnelModel")])
def test_a_model_without_a_vector_for_each_token_is_refused_before_work_starts(
    architecture: str, why: str, tmp_path: Path
) -> None:
    folder = any_architecture.build(architecture, tmp_path)
    settings = parse_settings(sections_of(folder, "mean"))
    with pytest.raises(CheckpointError, match=rf"output\.embedding: .* has no last hidden state .*{why}.*none"):
        inspect_checkpoint(settings)


def test_the_job_publishes_embeddings_and_other_settings_make_other_versions(
    tmp_path: Path, checkpoint: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    texts: list[str | None] = ["good", None, "bad " * 30, "fine", "good"]
    write_parquet(tmp_path / "in" / "a.parquet", {"at": range(5), "embedding": ["mine"] * 5, "text": texts})
    limits = {"max_reject_rate": 0.5}

    def settings(pooling: str, **sections: Any) -> Any:
        return settings_for(output={"embedding": pooling}, limits=limits, **sections)

    plain = make_plan(discover(settings("none")))
    assert "embedding" not in plain.fingerprint["output"]
    assert plain.scored_schema.field("embedding").type == pa.string()  # the input's own column
    run_here(settings("first"))
    found = read_output(tmp_path / "out")
    kept = [text for text in texts if text]
    wanted = np.stack([tiny.pooled(hidden, "first") for hidden in tiny.hidden_states(checkpoint, kept, 64)])
    vectors = np.array(found.column("embedding").to_pylist(), np.float32)
    assert_close(vectors, wanted)
    assert found.column("input_embedding").to_pylist() == ["mine"] * 4
    versions = {make_plan(discover(settings(each), replace=True)).version for each in ("none", *POOLINGS)}
    assert len(versions) == 4
    # With other columns kept, scores are taken over from a result that has the same embeddings, and from no other.
    fewer = {"keep_columns": ["at"]}
    assert make_plan(discover(settings("first", input=fewer))).reusable
    assert make_plan(discover(settings("none", input=fewer))).reusable
    for other in ("mean", "last"):
        assert not make_plan(discover(settings(other, input=fewer), replace=True)).reusable
    run_here(settings("none", input=fewer))
    assert not make_plan(discover(settings("first", input=fewer), replace=True)).reusable
    run_here(settings("first", input=fewer), replace=True)
    again = read_output(tmp_path / "out").column("embedding")
    assert again.to_pylist() == found.column("embedding").to_pylist()
