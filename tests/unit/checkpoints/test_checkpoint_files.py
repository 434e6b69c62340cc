"""The files of a checkpoint that are loaded: their names, what the fingerprint covers, and what is refused."""

import importlib.util
import inspect
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from pipeline_lib import Scorer
from pipeline_lib.checkpoints import loading
from pipeline_lib.checkpoints.checkpoint import fingerprint
from pipeline_lib.checkpoints.checkpoint_files import (
    EXTRA_WEIGHTS,
    TOKENIZER_FILES,
    fetch_patterns,
    is_fetched,
    loaded_files,
)
from pipeline_lib.checkpoints.fetching import locate
from pipeline_lib.errors import CheckpointError
from pipeline_lib.settings.sections.model import ModelSettings
from tests.helpers.checkpoints import tiny_checkpoints as tiny
from tests.helpers.checkpoints.tiny_checkpoints import Recipe

Change = Callable[[Path], object]


@pytest.fixture
def folder(checkpoint: Path, tmp_path: Path) -> Path:
    """A copy of the tiny BERT, to be changed."""
    return shutil.copytree(checkpoint, tmp_path / "model")


def settings_of(folder: Path, **model: bool) -> ModelSettings:
    return ModelSettings(name=str(folder), **model)  # type: ignore[arg-type]


def split(folder: Path, *, pickled: bool = False) -> None:
    """Put the weights into two files and an index, as large checkpoints have them."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    stem, ending = ("pytorch_model", "bin") if pickled else ("model", "safetensors")
    names = [f"{stem}-0000{number}-of-00002.{ending}" for number in (1, 2)]
    where = {name: names[number % 2] for number, name in enumerate(sorted(weights))}
    for file in names:
        part = {name: weights[name] for name in weights if where[name] == file}
        if pickled:
            torch.save(part, folder / file)
        else:
            save_file(part, folder / file, metadata={"format": "pt"})
    index = {"metadata": {"total_size": 1}, "weight_map": where}
    (folder / f"{stem}.{ending}.index.json").write_text(json.dumps(index))


def test_the_names_are_those_of_every_tokenizer_class_of_transformers() -> None:
    from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES, tokenizer_class_from_name

    every: set[Any] = {tokenizer_class_from_name(name) for name in TOKENIZER_MAPPING_NAMES.values() if name}
    base = transformers.PreTrainedTokenizerBase
    real: list[Any] = [kind for kind in every if inspect.isclass(kind) and issubclass(kind, base)]
    assert len(real) > 50
    assert {name for kind in real for name in kind.vocab_files_names.values()} <= {*TOKENIZER_FILES}
    assert {"bpe.codes", "spm.model", "source.spm", "prophetnet.tokenizer", "added_tokens.json"} <= {
        *TOKENIZER_FILES
    }


def test_the_extra_weights_are_those_of_every_configuration_of_transformers() -> None:
    source = Path(transformers.__file__).parent / "models"
    named = [line for path in source.glob("*/configuration_*.py") for line in path.read_text().splitlines()]
    found = {name for line in named if "extra_files:" in line for name in line.split('"')[1::2]}
    assert found <= {*EXTRA_WEIGHTS}


def test_every_file_that_is_loaded_is_fetched_and_no_pickle_without_leave(folder: Path) -> None:
    plain, trusting = settings_of(folder), settings_of(folder, allow_pickle=True)
    coded = settings_of(folder, allow_remote_code=True)
    for name in (*TOKENIZER_FILES, "config.json", "model-00001-of-00002.safetensors", "adapter_config.json"):
        assert all(is_fetched(name, settings) for settings in (plain, trusting, coded)), name
    assert [is_fetched("pytorch_model.bin", settings) for settings in (plain, trusting, coded)] == [
        False,
        True,
        False,
    ]
    assert [is_fetched("model.py", settings) for settings in (plain, trusting, coded)] == [False, False, True]
    assert not is_fetched("model.onnx", coded)
    assert "*/*" in fetch_patterns(plain)[1]


@pytest.mark.parametrize("name", ["bpe.codes", "source.spm", "prophetnet.tokenizer", "vocab.txt", "tiktoken.model"])
def test_the_fingerprint_covers_every_tokenizer_file(name: str, folder: Path) -> None:
    settings = settings_of(folder)
    before = fingerprint(folder, settings)
    (folder / name).write_text("one")
    first = fingerprint(folder, settings)
    (folder / name).write_text("two")
    assert len({before, first, fingerprint(folder, settings)}) == 3


def test_the_fingerprint_covers_nothing_that_is_not_loaded(folder: Path) -> None:
    settings = settings_of(folder)
    before = fingerprint(folder, settings)
    save_file({"x": torch.zeros(1)}, folder / "model.fp16.safetensors")
    for name in ("trainer_state.json", "pytorch_model.bin", "README.md", "notes.txt", "model.py"):
        (folder / name).write_text("{}")
    assert fingerprint(folder, settings) == before
    assert fingerprint(folder, settings_of(folder, allow_remote_code=True)) != before


@pytest.mark.parametrize("pickled", [False, True], ids=["safetensors", "pickles"])
def test_weights_in_several_files_are_loaded_and_each_is_in_the_fingerprint(
    pickled: bool, folder: Path, checkpoint: Path
) -> None:
    settings = settings_of(folder, allow_pickle=pickled)
    split(folder, pickled=pickled)
    names = [path.name for path in loaded_files(folder, settings)]
    assert sum("-of-00002" in name for name in names) == 2
    assert sum(name.endswith("index.json") for name in names) == 1
    whole = loading.load_model(checkpoint, settings_of(checkpoint), "float32").state_dict()
    parts = loading.load_model(folder, settings, "float32").state_dict()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    before = fingerprint(folder, settings)
    part = next(path for path in loaded_files(folder, settings) if "00002-of-00002" in path.name)
    part.write_bytes(part.read_bytes()[:-1] + b"~")
    assert fingerprint(folder, settings) != before


def test_allowed_pickles_are_loaded_though_unused_weights_lie_beside_them(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").rename(folder / "decoy.safetensors")
    settings = settings_of(folder, allow_pickle=True)
    assert {"pytorch_model.bin"} == {path.name for path in loaded_files(folder, settings)} & {
        "pytorch_model.bin",
        "decoy.safetensors",
    }
    assert loading.load_model(folder, settings, "float32").config.num_labels == 2


def test_links_within_the_folder_and_those_of_a_hubs_cache_are_followed(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").rename(folder / "weights.real")
    (folder / "model.safetensors").symlink_to("weights.real")
    assert fingerprint(folder, settings_of(folder))
    snapshot = tmp_path / "models--org--name" / "snapshots" / "abc"
    blobs = tmp_path / "models--org--name" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for number, path in enumerate(folder.iterdir()):
        shutil.copyfile(path, blobs / str(number))
        (snapshot / path.name).symlink_to(f"../../blobs/{number}")
    assert fingerprint(snapshot, settings_of(snapshot)) == fingerprint(folder, settings_of(folder))
    (snapshot / "config.json").unlink()
    (snapshot / "config.json").symlink_to(folder / "config.json")
    with pytest.raises(CheckpointError, match=r"config\.json of '.*' is a link out of the folder"):
        fingerprint(snapshot, settings_of(snapshot))


@pytest.mark.parametrize("attention", [None, "sdpa", "eager", "flash_attention_2"])
def test_the_configurations_attention_is_pytorchs_or_eager_and_the_answers_are_the_pipelines(
    attention: str | None, folder: Path, checkpoint: Path
) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "attn_implementation": attention}))
    model = loading.load_model(folder, settings_of(folder), "float32")
    assert model.config._attn_implementation == ("eager" if attention == "eager" else "sdpa")
    texts = ["a fine kettle", "good " * 20, "bad"]
    found = Scorer({"model": {"name": str(folder), "engine": "torch"}})(pd.DataFrame({"text": texts}))
    expected = [answer.score for answer in tiny.oracle(checkpoint, texts, 64)]
    np.testing.assert_allclose(found["score"], expected, rtol=0, atol=1e-5)


def test_an_architecture_without_pytorchs_attention_keeps_its_own(tmp_path: Path) -> None:
    folder = tiny.build(Recipe("deberta-v2"), tmp_path)
    usual = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    model = loading.load_model(folder, settings_of(folder), "float32")
    assert model.config._attn_implementation == usual.config._attn_implementation == "eager"


def test_paths_in_a_tokenizers_configuration_are_not_followed(tmp_path: Path) -> None:
    """Where there is no other vocabulary, transformers takes what these keys name."""
    folder = tiny.build(Recipe("bert"), tmp_path / "model")
    inside = loading.load_tokenizer(folder, settings_of(folder))
    outside = tmp_path / "vocab.txt"
    outside.write_text("\n".join(inside.get_vocab()))
    (folder / "tokenizer.json").unlink()
    config = {"tokenizer_class": "BertTokenizer", "vocab": str(outside), "vocab_file": str(outside)}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="has no vocabulary"):
        loading.load_tokenizer(folder, settings_of(folder))


_LOADS = """
import sys
from pathlib import Path
from pipeline_lib.checkpoints import loading
from pipeline_lib.settings.sections.model import ModelSettings
folder = Path(sys.argv[1])
settings = ModelSettings(name=sys.argv[1])
loading.load_tokenizer(folder, settings)
loading.load_model(folder, settings, "float32")
from transformers.utils import is_kernels_available
print(is_kernels_available())
"""


def test_kernels_of_a_hub_stay_off_where_their_package_is_installed(folder: Path, tmp_path: Path) -> None:
    from transformers.utils.import_utils import KERNELS_MIN_VERSION

    package = tmp_path / "packages" / "kernels"
    about = package.parent / f"kernels-{KERNELS_MIN_VERSION}.dist-info" / "METADATA"
    about.parent.mkdir(parents=True)
    about.write_text(f"Name: kernels\nVersion: {KERNELS_MIN_VERSION}\n")
    package.mkdir()
    (package / "__init__.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'ran')!r})\n")
    path = os.pathsep.join([str(package.parent), *sys.path])
    said = subprocess.run(
        [sys.executable, "-c", _LOADS, str(folder)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == "False"
    assert not (tmp_path / "ran").exists()


@pytest.mark.skipif(importlib.util.find_spec("peft") is None, reason="peft is not installed")
def test_an_adapter_is_refused_where_peft_would_apply_it(folder: Path) -> None:
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA", "base_model_name_or_path": "org/base"}')
    with pytest.raises(CheckpointError, match="is an adapter, or has one"):
        loading.load_model(folder, settings_of(folder), "float32")


def test_a_url_is_fetched_again_when_more_of_it_is_allowed(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "bpe.codes").write_text("a b 1\n")
    plain = ModelSettings(name=f"file://{folder}")
    first, _ = locate(plain)
    assert (first / "bpe.codes").is_file()
    assert not (first / "pytorch_model.bin").exists()
    second, _ = locate(plain.model_copy(update={"allow_pickle": True}))
    assert (second / "pytorch_model.bin").is_file()
