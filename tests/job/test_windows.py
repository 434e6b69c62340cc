"""Long texts in windows: the answers are those of the pipeline's model to each window alone, joined."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import transformers

from pipeline_lib import Scorer
from pipeline_lib.checkpoints.activation import activate
from pipeline_lib.engines.inspection.inspector import inspect_checkpoint
from pipeline_lib.errors import SettingsError
from pipeline_lib.planning.discovery import discover
from pipeline_lib.planning.planner import make_plan
from pipeline_lib.settings.settings import Settings
from tests.conftest import Runner, SettingsMaker, read_output, write_parquet
from tests.helpers.checkpoints import poisoned
from tests.helpers.checkpoints import tiny_checkpoints as tiny
from tests.helpers.checkpoints.tiny_checkpoints import (
    ADVERSARIAL_TEXTS,
    ARCHITECTURES,
    EXTRA_ARCHITECTURES,
    Cut,
    Recipe,
)

TOLERANCE = 1e-5
# Tiny and random, this one multiplies what float32 rounds: each window alone is as far from the answer in float64.
ROUNDING = {"t5": 1e-4}
LONG = " ".join(f"number {at} is a fine kettle, and the zip of the dress broke!" for at in range(12))
# Every window goes through the model alone: some of the texts are enough, and those that are cut above all.
TEXTS = [*(text for text in ADVERSARIAL_TEXTS if len(text) > 200), *ADVERSARIAL_TEXTS[4::6], LONG]
CUTS = (Cut(64, 16, "mean"), Cut(20, 0, "max"), Cut(15, 5, "mean"))


def sections_of(folder: Path, cut: Cut, **output: Any) -> dict[str, dict[str, Any]]:
    return {
        "model": {
            "name": str(folder),
            "engine": "torch",
            "max_tokens": cut.limit,
            "long_texts": "windows",
            "window_stride": cut.stride,
            "window_join": cut.join,
        },
        "output": {"logits": True, "scores": "all", **output},
        "tuning": {"tokens_per_batch": 256},
    }


def assert_joined(folder: Path, cut: Cut, architecture: str = "") -> None:
    """Compare rows in an order that mixes lengths, with texts that come twice, with the oracle's."""
    order = [*np.random.default_rng(0).permutation(len(TEXTS)).tolist(), len(TEXTS) - 1]
    found = Scorer(sections_of(folder, cut))(pa.table({"text": [TEXTS[at] for at in order]})).to_pylist()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    assert max(row["n_windows"] for row in found) >= 3
    tolerance = ROUNDING.get(architecture, TOLERANCE)
    expected = tiny.joined_logits(folder, TEXTS, cut)
    for row, at in zip(found, order, strict=True):
        logits, windows = expected[at]
        np.testing.assert_allclose(row["logits"], logits, rtol=0, atol=tolerance * max(1, np.abs(logits).max()))
        scores = activate(logits[None].astype(np.float32), "softmax")[0]
        np.testing.assert_allclose(row["scores"], scores, rtol=0, atol=tolerance)
        assert row["label"] == f"LABEL_{int(np.argmax(row['logits']))}"
        assert row["n_windows"] == windows
        assert row["n_tokens"] == len(tokenizer(TEXTS[at])["input_ids"])
        assert not row["truncated"]


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, *EXTRA_ARCHITECTURES])
def test_windows_are_answered_and_joined_as_by_the_pipelines_model(architecture: str, tmp_path: Path) -> None:
    folder = tiny.build(Recipe(architecture, num_labels=3), tmp_path)
    for cut in CUTS:
        assert_joined(folder, cut, architecture)


@pytest.mark.parametrize("architecture", ["bert", "xlnet"])
def test_a_tokenizer_that_truncates_on_the_left_has_its_first_window_at_the_end(
    architecture: str, tmp_path: Path
) -> None:
    folder = tiny.build(Recipe(architecture, num_labels=3), tmp_path)
    config = folder / "tokenizer_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "truncation_side": "left"}))
    cut = Cut(15, 5, "mean")
    assert_joined(folder, cut)
    first, *_, last = tiny.windows(folder, LONG, cut)
    assert len(last["input_ids"]) < len(first["input_ids"])


def test_an_embedding_is_joined_as_logits_are(checkpoint: Path) -> None:
    model = transformers.AutoModel.from_pretrained(checkpoint).eval()
    import torch

    for cut in CUTS:
        found = Scorer(sections_of(checkpoint, cut, embedding="mean"))(pa.table({"text": [LONG, "fine"]}))
        windows = tiny.windows(checkpoint, LONG, cut)
        with torch.inference_mode():
            states = [
                model(**{key: torch.tensor([ids]) for key, ids in each.items()}).last_hidden_state[0].numpy()
                for each in windows
            ]
        wanted = tiny.join([tiny.pooled(each, "mean") for each in states], [len(each) for each in states], cut)
        np.testing.assert_allclose(found.column("embedding")[0].as_py(), wanted, rtol=0, atol=3 * TOLERANCE)


@pytest.mark.slow
@pytest.mark.openvino
def test_openvino_answers_windows_too(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    sections = sections_of(checkpoint, CUTS[0])
    texts = pa.table({"text": TEXTS})
    one = Scorer(sections)(texts)
    two = Scorer({**sections, "model": {**sections["model"], "engine": "openvino"}})(texts)
    assert one.column("n_windows").equals(two.column("n_windows"))
    np.testing.assert_allclose(
        np.array(one.column("scores").to_pylist()), np.array(two.column("scores").to_pylist()), rtol=0, atol=2e-5
    )


def test_a_text_of_which_one_window_fails_is_rejected_alone(checkpoint: Path, tmp_path: Path) -> None:
    bad = poisoned.build(checkpoint, tmp_path / "poisoned", tmp_path / "flag")
    sections = sections_of(bad, Cut(13, 2, "mean"))
    sections["model"]["allow_remote_code"] = True
    texts = ["fine", f"{'good ' * 40}{poisoned.FAILS}{' good' * 40}", "good " * 80]
    found = Scorer(sections)(pa.table({"text": [*texts, texts[1]]}))
    assert found.column("reject").to_pylist() == [None, "model_failed", None, "model_failed"]
    assert found.column("label").is_null().to_pylist() == [False, True, False, True]
    healthy = Scorer(sections_of(checkpoint, Cut(13, 2, "mean")))(pa.table({"text": texts[2:]}))
    np.testing.assert_allclose(found.column("score")[2].as_py(), healthy.column("score")[0].as_py(), atol=1e-5)


def test_the_job_publishes_windows_and_their_settings_are_part_of_the_version(
    tmp_path: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    texts: list[str | None] = ["good", None, LONG, "fine", LONG]
    write_parquet(tmp_path / "in" / "a.parquet", {"at": range(5), "n_windows": ["mine"] * 5, "text": texts})

    def settings(**model: Any) -> Settings:
        return settings_for(model=model, limits={"max_reject_rate": 0.5})

    plain = make_plan(discover(settings()))
    assert "windows" not in plain.fingerprint
    assert plain.scored_schema.field("n_windows").type == pa.string()  # the input's own column
    plan = make_plan(discover(settings(long_texts="windows")))
    cut = plan.checkpoint.windows
    assert cut is not None
    assert (cut.limit, cut.content, cut.stride, cut.join) == (64, 62, 15, "mean")
    stated = settings(long_texts="windows", window_stride=15, window_join="mean")
    assert make_plan(discover(stated)).version == plan.version
    others: tuple[dict[str, Any], ...] = ({}, {"window_stride": 14}, {"window_join": "max"}, {"max_tokens": 50})
    versions = {make_plan(discover(settings(long_texts="windows", **other))).version for other in others}
    assert len({plain.version, *versions}) == 5
    run_here(settings(long_texts="windows"))
    found = read_output(tmp_path / "out").sort_by("at")
    assert found.schema.field("n_windows").type == pa.int32()
    assert found.column("n_windows").to_pylist()[::2] == [1, 1]
    assert min(found.column("n_windows").to_pylist()[1::2]) >= 3
    assert found.column("input_n_windows").to_pylist() == ["mine"] * 4
    assert pq.read_table(tmp_path / "out" / "_rejects").column("row").to_pylist() == [1]


@pytest.mark.slow
def test_the_job_on_ray_and_the_library_give_the_same_windows_and_embeddings(
    tmp_path: Path, settings_for: SettingsMaker, run_job: Runner
) -> None:
    table = pa.table({"at": range(6), "text": ["good", None, LONG, "fine", LONG, LONG[:300]]})
    write_parquet(tmp_path / "in" / "a.parquet", table)
    settings = settings_for(
        model={"long_texts": "windows", "window_join": "max"},
        output={"embedding": "last", "logits": True},
        limits={"max_reject_rate": 0.5},
    )
    run_job(settings)
    alone = Scorer(settings)(table)
    scored = alone.filter(pc.is_null(alone.column("reject"))).drop_columns(["reject"])
    found = read_output(tmp_path / "out")
    assert found.column_names == scored.column_names
    for name in ("at", "label", "n_tokens", "n_windows"):
        assert found.column(name).equals(scored.column(name))
    for name in ("logits", "embedding"):  # a worker of Ray has another number of threads
        one, two = (np.array(table.column(name).to_pylist()) for table in (found, scored))
        np.testing.assert_allclose(one, two, rtol=0, atol=TOLERANCE)


@pytest.mark.slow
def test_half_precision_is_compared_with_float32_on_joined_windows(
    tmp_path: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"text": [LONG, "good", LONG[:400]]})
    model = {"precision": "bfloat16", "long_texts": "windows", "engine": "torch"}
    run_here(settings_for(model=model, output={"embedding": "mean"}))
    manifest = json.loads((tmp_path / "out" / "_manifest.json").read_text())
    assert manifest["drift"]["rows"] == 3
    assert 0 < manifest["drift"]["largest"] < 0.1


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ({"window_stride": 62}, r"model\.window_stride: 62 tokens .* windows with 62 tokens .* is 61 or less"),
        ({"window_stride": 3, "max_tokens": 4}, r"windows with 2 tokens of a text; allowed is 1 or less"),
    ],
)
def test_a_stride_that_leaves_no_step_is_refused(
    model: dict[str, Any], told: str, settings_for: SettingsMaker
) -> None:
    with pytest.raises(SettingsError, match=told):
        inspect_checkpoint(settings_for(model={"long_texts": "windows", **model}))


def test_windows_need_a_limit(tmp_path: Path, settings_for: SettingsMaker) -> None:
    folder = tiny.build(Recipe("t5", model_max_length=None), tmp_path / "model")
    model = {"name": str(folder), "long_texts": "windows"}
    with pytest.raises(SettingsError, match=r"model\.long_texts: nothing limits .* set model\.max_tokens"):
        inspect_checkpoint(settings_for(model=model))
    assert inspect_checkpoint(settings_for(model={**model, "max_tokens": 32})).windows
    shutil.rmtree(folder)
