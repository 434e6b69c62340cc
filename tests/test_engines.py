"""Every engine gives the pipeline's answers; one that can't is not chosen, or says so."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import tiny_checkpoints as tiny
from tiny_checkpoints import ADVERSARIAL_TEXTS, ARCHITECTURES, EXTRA_ARCHITECTURES, Recipe

from pipeline_lib import Scorer, openvino_engine
from pipeline_lib.config import Settings
from pipeline_lib.errors import CheckpointError, SettingsError
from pipeline_lib.examiner import examine
from pipeline_lib.settings_file import parse_settings

NOT_FOR_OPENVINO = {"bart", "opt", "t5"}  # they look into the ids while they are traced
EVERYTHING = {"scores": "all", "logits": True}


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> pytest.MonkeyPatch:
    """Keep converted models in a folder of the tests."""
    patch = pytest.MonkeyPatch()
    patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    return patch


def settings_of(folder: Path, **model: str) -> Settings:
    sections = {"input": {"path": "-"}, "output": {"path": "-", **EVERYTHING}, "tuning": {"tokens_per_batch": 256}}
    return parse_settings({"model": {"name": str(folder), **model}, **sections})


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, *EXTRA_ARCHITECTURES])
def test_openvino_answers_as_the_pipeline_does_or_says_that_it_can_not(architecture: str, tmp_path: Path) -> None:
    folder = tiny.build(Recipe(architecture, num_labels=3), tmp_path / "model")
    settings = settings_of(folder, engine="openvino")
    if architecture in NOT_FOR_OPENVINO:
        with pytest.raises(CheckpointError, match=r"model\.engine: openvino can't run .*; use torch"):
            Scorer(settings)
        return
    texts = [text for text in ADVERSARIAL_TEXTS if text]
    found = Scorer(settings)(pa.table({"text": texts})).to_pylist()
    for row, answer in zip(found, tiny.oracle(folder, texts, 64), strict=True):
        np.testing.assert_allclose(row["scores"], answer.scores, rtol=0, atol=1e-5)
        assert (row["label"], row["n_tokens"]) == (answer.label, answer.n_tokens)


def test_bfloat16_by_openvino_is_near(checkpoint: Path) -> None:
    texts = pa.table({"text": list(ADVERSARIAL_TEXTS)})
    half, full = (
        Scorer(settings_of(checkpoint, engine="openvino", precision=precision))(texts)
        for precision in ("bfloat16", "float32")
    )
    apart = np.abs(np.array(half.column("score")) - np.array(full.column("score"))).max()
    assert 0 < apart < 0.05


def test_a_conversion_that_is_wrong_is_found_out(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    examine(settings_of(checkpoint, engine="openvino"))
    shutil.rmtree(tmp_path / "nightscore" / "examined")
    (weights,) = tmp_path.glob("nightscore/openvino/*/*/model.bin")
    content = bytearray(weights.read_bytes())
    numbers = np.frombuffer(content, np.float32, len(content) // 4)
    numbers[(np.abs(numbers) > 1e-3) & (np.abs(numbers) < 10)] *= 1.1  # constants of shapes lie elsewhere
    weights.write_bytes(content)
    path = weights.with_suffix(".xml")
    path.with_suffix(".sha256").write_text(openvino_engine._hash_of_converted(path))  # as if it had come out so
    with pytest.raises(CheckpointError, match=r"its logits are .+ off; use torch"):
        examine(settings_of(checkpoint, engine="openvino"))
    assert examine(settings_of(checkpoint)).engine == "torch"


@pytest.mark.parametrize("ending", ["xml", "bin", "pad"])
def test_a_converted_model_that_has_changed_is_made_again(
    ending: str, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    texts = pa.table({"text": ["a fine kettle", "bad", "good " * 20]})
    before = Scorer(settings_of(checkpoint, engine="openvino"))(texts)
    (changed,) = tmp_path.glob(f"nightscore/openvino/*/*/model.{ending}")
    content = changed.read_bytes()
    changed.write_bytes(b"7" if ending == "pad" else content[:-9] + b"123456789")
    assert Scorer(settings_of(checkpoint, engine="openvino"))(texts).equals(before)
    assert len(changed.read_bytes()) == len(content)


def test_auto_takes_the_better_one_of_this_machine(checkpoint: Path) -> None:
    better = "openvino" if openvino_engine.is_worthwhile() else "torch"
    assert examine(settings_of(checkpoint)).engine == better
    assert examine(settings_of(checkpoint, engine="torch")).engine == "torch"
    assert examine(settings_of(checkpoint, precision="float16")).engine == "torch"


def test_openvino_that_is_not_there_or_can_not_is_an_error(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(SettingsError, match="openvino computes in float32 and bfloat16, not in float16"):
        examine(settings_of(checkpoint, engine="openvino", precision="float16"))
    monkeypatch.setitem(sys.modules, "openvino", None)  # as if it were not installed
    assert examine(settings_of(checkpoint)).engine == "torch"
    with pytest.raises(
        SettingsError, match=r"OpenVINO is not installed here; pip install 'nightscore\[openvino\]'"
    ):
        examine(settings_of(checkpoint, engine="openvino"))


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_equal_texts_change_no_byte_of_the_others_and_get_the_same_bytes(engine: str, checkpoint: Path) -> None:
    texts = ["a fine kettle", "bad", "good " * 20, "", "a fine kettle!"]
    scorer = Scorer(settings_of(checkpoint, engine=engine))
    once = scorer(pa.table({"text": texts}))
    often = [0, 1, 0, 2, 3, 3, 1, 4, 0]
    assert scorer(pa.table({"text": [texts[at] for at in often]})).equals(once.take(pa.array(often)))
