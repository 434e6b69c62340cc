"""Checkpoints of every bad kind, and the error that each gets."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import poison
import torch
import transformers
from bad_home import Home, Kind, Spoil, setting
from safetensors.torch import load_file, save_file


def _model(change: Callable[[Path], None], *overrides: str) -> Spoil:
    """Change a copy of the checkpoint, and name it in the settings."""

    def spoil(home: Home) -> list[str]:
        folder = shutil.copytree(home.checkpoint, home.folder / "changed")
        change(folder)
        return list(setting(f"model.name={folder}", *overrides)(home))

    return spoil


def _without(*names: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        for name in names:
            for path in folder.glob(name):
                path.unlink()

    return change


def _config(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        values = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**values, **changes}))

    return change


def _written(name: str, content: bytes) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return change


def _cut(name: str, share: float) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(len(content) * share)])

    return change


def _weights(change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Callable[[Path], None]:
    def rewrite(folder: Path) -> None:
        changed = change(load_file(folder / "model.safetensors"))
        save_file(changed, folder / "model.safetensors", metadata={"format": "pt"})

    return rewrite


def _pickled(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


class _RunsCode:
    """What unpickles by touching a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._path),)


def _trapped(folder: Path) -> None:
    torch.save({"x": _RunsCode(folder.parent / "ran")}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def _needs_code(folder: Path) -> None:
    _config(model_type="mine", auto_map={"AutoConfig": "mine.MyConfig"})(folder)
    (folder / "mine.py").write_text(f"import os\nos.mkdir({str(folder.parent / 'ran')!r})\n")


def _of_characters(home: Home) -> list[str]:
    config = transformers.CanineConfig(**_TINY, local_transformer_stride=8, num_hash_buckets=64)
    folder = home.folder / "canine"
    transformers.CanineForSequenceClassification(config).save_pretrained(folder)
    transformers.CanineTokenizer(model_max_length=64).save_pretrained(folder)
    return list(setting(f"model.name={folder}")(home))


def _of_other_inputs(home: Home) -> list[str]:
    sizes = {"num_latents": 4, "d_latents": 16, "d_model": 16, "num_blocks": 1, "num_self_attends_per_block": 1}
    config = transformers.PerceiverConfig(
        **sizes, num_self_attention_heads=2, num_cross_attention_heads=2, max_position_embeddings=64
    )
    folder = home.folder / "perceiver"
    transformers.PerceiverForSequenceClassification(config).save_pretrained(folder)
    transformers.PerceiverTokenizer(model_max_length=64).save_pretrained(folder)
    return list(setting(f"model.name={folder}")(home))


_TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}


def _dies_when_converted(home: Home) -> list[str]:
    folder = poison.build(home.checkpoint, home.folder / "changed", home.folder / "flag", when_traced="dies")
    return list(setting(f"model.name={folder}", "model.engine=openvino", "model.allow_remote_code=true")(home))


def _lacks_a_file_of_weights(folder: Path) -> None:
    names = load_file(folder / "model.safetensors")
    index = {"metadata": {}, "weight_map": dict.fromkeys(names, "model-00001-of-00002.safetensors")}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model.safetensors").rename(folder / "model-00002-of-00002.safetensors")


def _empty_model(home: Home) -> list[str]:
    (home.folder / "changed").mkdir()
    return ["--set", f"model.name={home.folder}/changed"]


_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4665d9f4\nsize 267832558\n"

CHECKPOINTS = (
    Kind(
        "a folder that is not there",
        lambda home: ["--set", f"model.name={str(home.checkpoint)[:-1]}"],
        r"model\.name: no folder '.*'; did you mean '.*bert'\?",
    ),
    Kind("a file for a folder", setting("model.name=HOME/job.yaml"), r"model\.name: .*job\.yaml"),
    Kind("an empty folder", _empty_model, r"model\.name: '.*changed' holds no config\.json \(found none\)"),
    Kind(
        "no config.json",
        _model(_without("config.json")),
        r"model\.name: '.*changed' holds no config\.json \(found 'model\.safetensors'",
    ),
    Kind(
        "a config.json that is no JSON",
        _model(_cut("config.json", 0.5)),
        r"model\.name: can't load config\.json of '.*changed'",
    ),
    Kind(
        "no tokenizer",
        _model(_without("token*", "vocab*", "special*")),
        r"model\.name: .*changed' has no vocabulary|model\.name: can't load the tokenizer of '.*changed'",
    ),
    Kind(
        "a tokenizer.json cut off",
        _model(_cut("tokenizer.json", 0.5)),
        r"model\.name: can't load the tokenizer of '.*changed'",
    ),
    Kind("no weights", _model(_without("*.safetensors")), r"model\.name: '.*changed' has no \.safetensors weights"),
    Kind(
        "weights cut off",
        _model(_cut("model.safetensors", 0.5)),
        r"model\.name: can't load the weights of '.*changed'",
    ),
    Kind(
        "weights of no bytes",
        _model(_written("model.safetensors", b"")),
        r"model\.name: can't load the weights of '.*changed'",
    ),
    Kind(
        "a pointer of git-lfs for weights",
        _model(_written("model.safetensors", _POINTER)),
        r"model\.name: can't load the weights of '.*changed'",
    ),
    Kind(
        "one file of several not there",
        _model(_lacks_a_file_of_weights),
        r"model\.name: can't load the weights of '.*changed'.*model-00001-of-00002",
    ),
    Kind(
        "a base model without a head",
        _model(
            _weights(lambda found: {name: tensor for name, tensor in found.items() if "classifier" not in name})
        ),
        r"model\.name: '.*changed' lacks the weights 'classifier\.bias', 'classifier\.weight'.*not a fine-tuned",
    ),
    Kind(
        "weights that are not numbers",
        _model(
            _weights(lambda found: {name: torch.full_like(tensor, torch.nan) for name, tensor in found.items()})
        ),
        r"model\.name: the model's answer to 'fine' is not finite",
    ),
    Kind(
        "another number of labels than the head",
        _model(_config(id2label={"0": "a", "1": "b", "2": "c"}, label2id={"a": 0, "b": 1, "c": 2})),
        r"model\.name: can't load the weights of '.*changed': their shapes don't fit config\.json",
    ),
    Kind(
        "labels that start at 1",
        _model(_config(id2label={"1": "bad", "2": "good"})),
        r"id2label must number its labels 0, 1, 2, \.\.\.; found \[1, 2\]",
    ),
    Kind(
        "labels without numbers",
        _model(_config(id2label={"bad": "bad", "good": "good"})),
        r"model\.name: can't load config\.json of '.*changed'",
    ),
    Kind(
        "pickled weights",
        _model(_pickled),
        r"only 'pytorch_model\.bin', which can run code; to trust it set model\.allow_pickle",
    ),
    Kind(
        "a pickle that runs code, though pickles are allowed",
        _model(_trapped, "model.allow_pickle=true"),
        r"model\.name: can't load the weights of '.*changed'",
    ),
    Kind(
        "a model of characters, without a table of tokens",
        _of_characters,
        r"model\.name: CanineForSequenceClassification has no table of tokens",
    ),
    Kind(
        "a model that takes other inputs than token ids",
        _of_other_inputs,
        r"model\.name: '.*perceiver' can't answer 'fine': \w+Error: ",
    ),
    Kind(
        "a model that ends the process that converts it",
        _dies_when_converted,
        r"model\.engine: openvino can't run '.*changed': .*ended by SIGKILL|OpenVINO is not installed",
    ),
    Kind(
        "code of its own",
        _model(_needs_code),
        r"model\.name: '.*changed' needs Python code that comes with it; to trust it set model\.allow_remote_code",
    ),
    Kind(
        "an unknown kind of model",
        _model(_config(model_type="brt")),
        r"model\.name: can't load config\.json of '.*changed'.*brt",
    ),
    Kind(
        "a model for something else",
        _model(_config(model_type="vit")),
        r"model\.name: can't load .* of '.*changed'",
    ),
    Kind(
        "a hub id, without the hub",
        setting("model.name=nobody/nothing"),
        r"model\.name: 'nobody/nothing' is no folder here, is not in the cache, and the hub can't be reached",
    ),
    Kind(
        "a name that is no hub id",
        setting('model.name="a model!"'),
        r"model\.name: 'a model!' is neither a folder nor a hub id such as 'org/model'",
    ),
    Kind(
        "a URL of an unknown kind",
        setting("model.name=s4://bucket/model"),
        r"'s4://bucket/model': can't open this kind of URL",
    ),
    Kind("a URL of a folder that is not there", setting("model.name=file://HOME/gone"), r"'file://.*/gone'"),
)
