"""Tokenizers of every kind of file answer as the pipeline does: SentencePiece alone, and BERTweet's codes."""

import base64
import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import transformers

from pipeline_lib import Scorer
from pipeline_lib.checkpoints import loading
from pipeline_lib.errors import CheckpointError
from pipeline_lib.settings.sections.model import ModelSettings
from tests.helpers.checkpoints import tiny_checkpoints as tiny
from tests.helpers.checkpoints.tiny_checkpoints import ADVERSARIAL_TEXTS, SENTENCEPIECE, Recipe


def assert_answers_are_the_pipelines(folder: Path) -> None:
    texts = [text for text in ADVERSARIAL_TEXTS if text]
    settings = {"model": {"name": str(folder), "engine": "torch"}, "output": {"scores": "all"}}
    found = Scorer(settings)(pa.table({"text": texts})).to_pylist()
    for row, answer in zip(found, tiny.oracle(folder, texts, 64), strict=True):
        assert (row["reject"], row["label"], row["n_tokens"]) == (None, answer.label, answer.n_tokens)
        np.testing.assert_allclose(row["scores"], answer.scores, rtol=0, atol=1e-5)


@pytest.mark.parametrize("architecture", SENTENCEPIECE)
def test_a_vocabulary_of_sentencepiece_alone_is_enough(architecture: str, tmp_path: Path) -> None:
    folder = tiny.build(Recipe(architecture, num_labels=3, sentencepiece=True), tmp_path)
    assert not (folder / "tokenizer.json").exists()
    assert_answers_are_the_pipelines(folder)


@pytest.mark.parametrize("kind", ["Bertweet", "Phobert"])
def test_codes_of_byte_pairs_are_enough(kind: str, tmp_path: Path) -> None:
    """Their tokenizers look for `bpe.codes`, a name that no other has."""
    folder = tiny.build(Recipe("roberta", num_labels=3), tmp_path)
    pieces = ["a", "i", "e", "t@@", "h@@", "th@@", "k@@", "f@@", "n@@", "fine", "kettle", "good@@"]
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt"):
        (folder / name).unlink(missing_ok=True)
    (folder / "vocab.txt").write_text("".join(f"{piece} 9\n" for piece in pieces))
    (folder / "bpe.codes").write_text("t h 9\nth e</w> 8\nf i 7\nfi n 6\nfin e</w> 5\n")
    config = {"tokenizer_class": f"{kind}Tokenizer", "model_max_length": 64}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    assert type(transformers.AutoTokenizer.from_pretrained(folder)).__name__ == f"{kind}Tokenizer"
    assert_answers_are_the_pipelines(folder)


def test_a_damaged_model_of_sentencepiece_is_named(tmp_path: Path) -> None:
    folder = tiny.build(Recipe("xlm-roberta", sentencepiece=True), tmp_path)
    path = folder / "sentencepiece.bpe.model"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(
        CheckpointError, match=r"can't load the tokenizer of .*'sentencepiece\.bpe\.model' is no model"
    ):
        loading.load_tokenizer(folder, ModelSettings(name=str(folder)))


def test_a_vocabulary_of_tiktoken_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tiktoken", None)  # as if it were not installed
    folder = tiny.build(Recipe("llama", sentencepiece=True), tmp_path)
    (folder / "tokenizer.model").unlink()
    words = b"".join(base64.b64encode(bytes([byte])) + b" %d\n" % byte for byte in range(256))
    (folder / "tiktoken.model").write_bytes(words)
    with pytest.raises(CheckpointError, match=r"'tiktoken\.model' is no model of .*pip install tiktoken"):
        loading.load_tokenizer(folder, ModelSettings(name=str(folder)))


def test_a_missing_sentencepiece_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny.build(Recipe("xlm-roberta", sentencepiece=True), tmp_path)
    monkeypatch.setitem(sys.modules, "sentencepiece", None)  # as if it were not installed
    with pytest.raises(CheckpointError, match=r"can't load the tokenizer of .*pip install sentencepiece$"):
        loading.load_tokenizer(folder, ModelSettings(name=str(folder)))


@pytest.mark.skipif(importlib.util.find_spec("mistral_common") is not None, reason="mistral-common is installed")
def test_a_tokenizer_names_its_missing_package(tmp_path: Path) -> None:
    folder = tiny.build(Recipe("llama"), tmp_path)
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "MistralCommonBackend"}')
    with pytest.raises(CheckpointError, match=r"needs packages that are not here; pip install mistral-common"):
        loading.load_tokenizer(folder, ModelSettings(name=str(folder)))
