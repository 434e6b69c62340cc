"""Checkpoints with pickled weights, or an index that leads elsewhere, and the error that each gets."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from tests.bad_inputs.checkpoint_changes import (
    changed_model,
    with_config,
)
from tests.bad_inputs.job_folder import Case


def _pickled(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


class _RunsCode:
    """What unpickles by touching a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._path),)


def _trap(name: str) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        torch.save({"x": _RunsCode(folder.parent / "ran")}, folder / name)

    return apply


def _trapped(folder: Path) -> None:
    _trap("pytorch_model.bin")(folder)
    (folder / "model.safetensors").unlink()


def _sharded(name: str, change: Callable[[Path], None] | None = None) -> Callable[[Path], None]:
    """Have an index name a file for all weights, which the file holds as pickle."""

    def apply(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        ending = "safetensors" if change is None else "bin"
        stem = "model" if change is None else "pytorch_model"
        index = {
            "metadata": {"total_size": 1},
            "weight_map": dict.fromkeys(weights, name.replace("JOB", str(folder))),
        }
        (folder / f"{stem}.{ending}.index.json").write_text(json.dumps(index))
        for path in (folder / "pickle.bin", folder.parent / "pickle.bin"):
            torch.save(weights, path)
        (folder / "inner").mkdir()
        for path in (folder.parent / "out.safetensors", folder / "inner" / "in.safetensors"):
            save_file(weights, path, metadata={"format": "pt"})
        (folder / "model.safetensors").rename(folder / "decoy.safetensors")
        if change:
            change(folder)

    return apply


def _index(content: object) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
        (folder / "model.safetensors.index.json").write_text(json.dumps(content))

    return apply


def _explicit(name: str) -> Callable[[Path], None]:
    """Have the configuration name the file of weights."""

    def apply(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        torch.save(weights, folder / "adapter_model.bin")
        save_file(weights, folder / "other.safetensors", metadata={"format": "pt"})
        with_config(transformers_weights=name)(folder)

    return apply


def _decoy_beside(*pickles: str) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        (folder / "model.safetensors").rename(folder / "decoy.safetensors")
        torch.save(weights, folder / pickles[0])
        if len(pickles) > 1:
            index = {"metadata": {}, "weight_map": dict.fromkeys(weights, pickles[0])}
            (folder / pickles[1]).write_text(json.dumps(index))

    return apply


_DISTRIBUTED = "shard-00001-model-00001-of-00001.safetensors"


PICKLES = (
    Case(
        "pickled weights",
        changed_model(_pickled),
        r"only 'pytorch_model\.bin', which can run code; to trust it set model\.allow_pickle",
    ),
    Case(
        "a pickle that runs code, though pickles are allowed",
        changed_model(_trapped, "model.allow_pickle=true"),
        r"model\.name: can't load the weights of '.*changed'",
    ),
    Case(
        "an index that names a pickle, beside a decoy",
        changed_model(_sharded("pickle.bin")),
        r"model\.safetensors\.index\.json of '.*changed' names 'pickle\.bin'; allowed are names of \*\.safetensors",
    ),
    Case(
        "an index that names a pickle, though pickles are allowed",
        changed_model(_sharded("pickle.bin"), "model.allow_pickle=true"),
        r"model\.safetensors\.index\.json of '.*changed' names 'pickle\.bin'; allowed are names of \*\.safetensors",
    ),
    Case(
        "an index that names a pickle that runs code, beside a decoy",
        changed_model(_sharded("pickle.bin"), _trap("pickle.bin")),
        r"model\.safetensors\.index\.json of '.*changed' names 'pickle\.bin'; allowed are names of \*\.safetensors",
    ),
    Case(
        "an index that names a file above the folder",
        changed_model(_sharded("../out.safetensors")),
        r"index\.json of '.*changed' names '\.\./out\.safetensors'; allowed are .* files in the same folder",
    ),
    Case(
        "an index that names an absolute path",
        changed_model(_sharded("JOB/../out.safetensors")),
        r"index\.json of '.*changed' names '/.*/out\.safetensors'; allowed are .* files in the same folder",
    ),
    Case(
        "an index that names a file in an inner folder",
        changed_model(_sharded("inner/in.safetensors")),
        r"index\.json of '.*changed' names 'inner/in\.safetensors'; allowed are .* files in the same folder",
    ),
    Case(
        "an index of pickles that names one above the folder, though pickles are allowed",
        changed_model(_sharded("../pickle.bin", lambda _: None), "model.allow_pickle=true"),
        r"pytorch_model\.bin\.index\.json of '.*changed' names '\.\./pickle\.bin'; allowed are names of \*\.bin",
    ),
    Case(
        "an index of weights that is a list",
        changed_model(_index([])),
        r"model\.name: can't load model\.safetensors\.index\.json of '.*changed': it is no JSON object",
    ),
    Case(
        "an index of weights without a map",
        changed_model(_index({"metadata": {}, "weight_map": ["model-00001-of-00001.safetensors"]})),
        r"model\.safetensors\.index\.json of '.*changed' has no weight_map or no metadata",
    ),
    Case(
        "an index of weights that names numbers",
        changed_model(_index({"metadata": {}, "weight_map": {"classifier.bias": 7}})),
        r"model\.safetensors\.index\.json of '.*changed' names 7; allowed are names",
    ),
    Case(
        "a decoy of safetensors beside a pickle",
        changed_model(_decoy_beside("pytorch_model.bin")),
        r"no \.safetensors weights of the names that are loaded .*, only 'decoy\.safetensors', only "
        r"'pytorch_model\.bin', which can run code",
    ),
    Case(
        "a decoy of safetensors beside an index of pickles",
        changed_model(_decoy_beside("pytorch_model-00001-of-00001.bin", "pytorch_model.bin.index.json")),
        r"only 'decoy\.safetensors', only 'pytorch_model-00001-of-00001\.bin', which can run code",
    ),
    Case(
        "a configuration that names a pickle for weights",
        changed_model(_explicit("adapter_model.bin")),
        r"config\.json of '.*changed' has transformers_weights, which is not allowed: it would have other weights",
    ),
    Case(
        "a configuration that names other weights",
        changed_model(_explicit("other.safetensors")),
        r"config\.json of '.*changed' has transformers_weights, which is not allowed: it would have other weights",
    ),
    Case(
        "weights of a distributed run beside those of the index",
        changed_model(lambda folder: shutil.copy(folder / "model.safetensors", folder / _DISTRIBUTED)),
        r"'.*changed' has weights of a distributed run \('shard-00001-model-00001-of-00001\.safetensors'\)",
    ),
)
