"""Checkpoints of every bad kind, and the error that each gets."""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file, save_file

from tests.bad_inputs.bad_home import Home, Kind, Spoil, setting
from tests.helpers import any_architecture, poisoned


def _model(change: Callable[[Path], object], *more: str | Callable[[Path], object]) -> Spoil:
    """Change a copy of the checkpoint, and name it in the settings; more changes and settings may follow."""

    def spoil(home: Home) -> list[str]:
        folder = shutil.copytree(home.checkpoint, home.folder / "changed")
        for step in (change, *(step for step in more if not isinstance(step, str))):
            step(folder)
        overrides = [text for text in more if isinstance(text, str)]
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


def _trap(name: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        torch.save({"x": _RunsCode(folder.parent / "ran")}, folder / name)

    return spoil


def _trapped(folder: Path) -> None:
    _trap("pytorch_model.bin")(folder)
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
    folder = poisoned.build(home.checkpoint, home.folder / "changed", home.folder / "flag", when_traced="dies")
    return list(setting(f"model.name={folder}", "model.engine=openvino", "model.allow_remote_code=true")(home))


def _lacks_a_file_of_weights(folder: Path) -> None:
    names = load_file(folder / "model.safetensors")
    index = {"metadata": {}, "weight_map": dict.fromkeys(names, "model-00001-of-00002.safetensors")}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model.safetensors").rename(folder / "model-00002-of-00002.safetensors")


def _sharded(name: str, change: Callable[[Path], None] | None = None) -> Callable[[Path], None]:
    """Have an index name a file for all weights, which the file holds as pickle."""

    def spoil(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        ending = "safetensors" if change is None else "bin"
        stem = "model" if change is None else "pytorch_model"
        index = {
            "metadata": {"total_size": 1},
            "weight_map": dict.fromkeys(weights, name.replace("HOME", str(folder))),
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

    return spoil


def _index(content: object) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
        (folder / "model.safetensors.index.json").write_text(json.dumps(content))

    return spoil


def _explicit(name: str) -> Callable[[Path], None]:
    """Have the configuration name the file of weights."""

    def spoil(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        torch.save(weights, folder / "adapter_model.bin")
        save_file(weights, folder / "other.safetensors", metadata={"format": "pt"})
        _config(transformers_weights=name)(folder)

    return spoil


def _decoy_beside(*pickles: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        (folder / "model.safetensors").rename(folder / "decoy.safetensors")
        torch.save(weights, folder / pickles[0])
        if len(pickles) > 1:
            index = {"metadata": {}, "weight_map": dict.fromkeys(weights, pickles[0])}
            (folder / pickles[1]).write_text(json.dumps(index))

    return spoil


def _linked(name: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        target = folder.parent / f"elsewhere-{name}"
        (folder / name).rename(target)
        (folder / name).symlink_to(target)

    return spoil


def _fifo(name: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return spoil


def _tokenizer_config(**changes: Any) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        path = folder / "tokenizer_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return spoil


def _loads_a_model_for_a_tokenizer(folder: Path) -> None:
    """Have the tokenizer's class be one that unpickles weights."""
    _tokenizer_config(tokenizer_class="AutoModel")(folder)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")


def _special_tokens(folder: Path) -> None:
    """Have the vocabulary read from another place, by way of a file that no longer matters elsewhere."""
    outside = folder.parent / "vocab.txt"
    outside.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n")
    (folder / "special_tokens_map.json").write_text(json.dumps({"vocab_file": str(outside)}))


def _empty_model(home: Home) -> list[str]:
    (home.folder / "changed").mkdir()
    return ["--set", f"model.name={home.folder}/changed"]


def _built(architecture: str, **changes: Any) -> Spoil:
    """Build a checkpoint of another architecture, and name it in the settings."""

    def spoil(home: Home) -> list[str]:
        folder = any_architecture.build(architecture, home.folder / "changed", **changes)
        return list(setting(f"model.name={folder}")(home))

    return spoil


_DISTRIBUTED = "shard-00001-model-00001-of-00001.safetensors"
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
        "an index that names a pickle, beside a decoy",
        _model(_sharded("pickle.bin")),
        r"model\.safetensors\.index\.json of '.*changed' names 'pickle\.bin'; allowed are names of \*\.safetensors",
    ),
    Kind(
        "an index that names a pickle, though pickles are allowed",
        _model(_sharded("pickle.bin"), "model.allow_pickle=true"),
        r"model\.safetensors\.index\.json of '.*changed' names 'pickle\.bin'; allowed are names of \*\.safetensors",
    ),
    Kind(
        "an index that names a pickle that runs code, beside a decoy",
        _model(_sharded("pickle.bin"), _trap("pickle.bin")),
        r"model\.safetensors\.index\.json of '.*changed' names 'pickle\.bin'; allowed are names of \*\.safetensors",
    ),
    Kind(
        "an index that names a file above the folder",
        _model(_sharded("../out.safetensors")),
        r"index\.json of '.*changed' names '\.\./out\.safetensors'; allowed are .* files in the same folder",
    ),
    Kind(
        "an index that names an absolute path",
        _model(_sharded("HOME/../out.safetensors")),
        r"index\.json of '.*changed' names '/.*/out\.safetensors'; allowed are .* files in the same folder",
    ),
    Kind(
        "an index that names a file in an inner folder",
        _model(_sharded("inner/in.safetensors")),
        r"index\.json of '.*changed' names 'inner/in\.safetensors'; allowed are .* files in the same folder",
    ),
    Kind(
        "an index of pickles that names one above the folder, though pickles are allowed",
        _model(_sharded("../pickle.bin", lambda _: None), "model.allow_pickle=true"),
        r"pytorch_model\.bin\.index\.json of '.*changed' names '\.\./pickle\.bin'; allowed are names of \*\.bin",
    ),
    Kind(
        "an index of weights that is a list",
        _model(_index([])),
        r"model\.name: can't load model\.safetensors\.index\.json of '.*changed': it is no JSON object",
    ),
    Kind(
        "an index of weights without a map",
        _model(_index({"metadata": {}, "weight_map": ["model-00001-of-00001.safetensors"]})),
        r"model\.safetensors\.index\.json of '.*changed' has no weight_map or no metadata",
    ),
    Kind(
        "an index of weights that names numbers",
        _model(_index({"metadata": {}, "weight_map": {"classifier.bias": 7}})),
        r"model\.safetensors\.index\.json of '.*changed' names 7; allowed are names",
    ),
    Kind(
        "a decoy of safetensors beside a pickle",
        _model(_decoy_beside("pytorch_model.bin")),
        r"no \.safetensors weights of the names that are loaded .*, only 'decoy\.safetensors', only "
        r"'pytorch_model\.bin', which can run code",
    ),
    Kind(
        "a decoy of safetensors beside an index of pickles",
        _model(_decoy_beside("pytorch_model-00001-of-00001.bin", "pytorch_model.bin.index.json")),
        r"only 'decoy\.safetensors', only 'pytorch_model-00001-of-00001\.bin', which can run code",
    ),
    Kind(
        "a configuration that names a pickle for weights",
        _model(_explicit("adapter_model.bin")),
        r"config\.json of '.*changed' has transformers_weights, which is not allowed: it would have other weights",
    ),
    Kind(
        "a configuration that names other weights",
        _model(_explicit("other.safetensors")),
        r"config\.json of '.*changed' has transformers_weights, which is not allowed: it would have other weights",
    ),
    Kind(
        "a configuration that names another configuration",
        _model(_config(configuration_files=["config.4.0.0.json"])),
        r"config\.json of '.*changed' has configuration_files, which is not allowed: it would have another file",
    ),
    Kind(
        "weights of a distributed run beside those of the index",
        _model(lambda folder: shutil.copy(folder / "model.safetensors", folder / _DISTRIBUTED)),
        r"'.*changed' has weights of a distributed run \('shard-00001-model-00001-of-00001\.safetensors'\)",
    ),
    *(
        Kind(
            f"{name}, a link out of the folder",
            _model(_linked(name)),
            rf"{re.escape(name)} of '.*changed' is a link out of the folder; allowed are files in it",
        )
        for name in ("model.safetensors", "config.json", "tokenizer.json")
    ),
    Kind(
        "a named pipe for weights",
        _model(_fifo("model.safetensors")),
        r"model\.safetensors of '.*changed' is no regular file",
    ),
    Kind(
        "a named pipe for a tokenizer",
        _model(_fifo("tokenizer.json")),
        r"tokenizer\.json of '.*changed' is no regular file",
    ),
    Kind(
        "attention of a hub's repository",
        _model(_config(attn_implementation="org/repo")),
        r"has attn_implementation 'org/repo', which would have other code run; allowed are 'eager', .*'sdpa'",
    ),
    Kind(
        "attention of a hub's repository, by the private name",
        _model(_config(_attn_implementation="org/repo@main:function")),
        r"has _attn_implementation 'org/repo@main:function', which would have other code run",
    ),
    Kind(
        "attention of a hub's repository, for a part",
        _model(_config(attn_implementation={"": "sdpa", "text_config": "org/repo"})),
        r"has attn_implementation 'org/repo', which would have other code run",
    ),
    Kind(
        "attention of a hub's repository, in a nested configuration",
        _model(_config(text_config={"inner": [{"attn_implementation": "org/repo"}]})),
        r"has attn_implementation 'org/repo', which would have other code run",
    ),
    Kind(
        "experts of a hub's repository",
        _model(_config(experts_implementation="sonicmoe")),
        r"has experts_implementation 'sonicmoe', which would have other code run",
    ),
    Kind(
        "quantized weights",
        _model(_config(quantization_config={"quant_method": "gptq", "bits": 4})),
        r"has quantization_config, which is not allowed: quantized weights need the code of other libraries",
    ),
    Kind(
        "an adapter",
        _model(_written("adapter_config.json", b'{"peft_type": "LORA", "base_model_name_or_path": "org/base"}')),
        r"'.*changed' is an adapter, or has one \(adapter_config\.json\); merge it into its base model",
    ),
    Kind(
        "a tokenizer that is a model",
        _model(_loads_a_model_for_a_tokenizer),
        r"tokenizer_config\.json of '.*changed' has the tokenizer_class 'AutoModel', which is no tokenizer",
    ),
    Kind(
        "a tokenizer that is itself to be looked for",
        _model(_config(tokenizer_class="AutoTokenizer"), _tokenizer_config(tokenizer_class=None)),
        r"config\.json of '.*changed' has the tokenizer_class 'AutoTokenizer', which is no tokenizer",
    ),
    Kind(
        "a tokenizer made of what the file gives it",
        _model(_tokenizer_config(init_inputs=["/etc/passwd"])),
        r"tokenizer_config\.json of '.*changed' has init_inputs, which would have other files read",
    ),
    Kind(
        "a tokenizer's file of another folder",
        _model(_tokenizer_config(fast_tokenizer_files=["tokenizer./../../4.0.0.json"])),
        r"tokenizer_config\.json of '.*changed' names 'tokenizer\./\.\./\.\./4\.0\.0\.json'; allowed are names",
    ),
    Kind(
        "a vocabulary among the special tokens",
        _model(_special_tokens),
        r"special_tokens_map\.json of '.*changed' has 'vocab_file'; allowed are special tokens",
    ),
    Kind(
        "a config.json nested without end",
        _model(_written("config.json", b'{"a":' * 100_000 + b"1" + b"}" * 100_000)),
        r"can't load config\.json of '.*changed': it is no JSON",
    ),
    Kind(
        "a config.json of many megabytes",
        _model(_config(filler="x" * (17 << 20))),
        r"can't load config\.json of '.*changed': it has 17,.* bytes; allowed are 16,777,216",
    ),
    Kind(
        "a model of endless layers",
        _model(_config(num_hidden_layers=10**9)),
        r"config\.json of '.*changed' has num_hidden_layers 1,000,000,000; allowed are 10,000",
    ),
    *(
        Kind(
            f"a model of endless parts ({key})",
            _model(_config(**{key: value})),
            rf"config\.json of '.*changed' has {key} 1,000,000,000; allowed are 10,000",
        )
        for key, value in {"num_hidden_groups": 10**9, "inner_group_num": 10**9, "block_sizes": [4, 10**9]}.items()
    ),
    Kind(
        "a tokenizer that makes tokens without end",
        _model(_tokenizer_config(tokenizer_class="T5Tokenizer", extra_ids=10**9)),
        r"tokenizer_config\.json of '.*changed' has extra_ids 1,000,000,000; allowed are 100,000",
    ),
    Kind(
        "a token of an endless number",
        _model(_tokenizer_config(added_tokens_decoder={"1000000000": {"content": "x"}})),
        r"tokenizer_config\.json of '.*changed' has added_tokens_decoder 1,000,000,000; allowed are 10,000,000",
    ),
    Kind(
        "labels without end",
        _model(_config(id2label=None, num_labels=10**9)),
        r"config\.json of '.*changed' has num_labels 1,000,000,000; allowed are 1,000,000",
    ),
    Kind(
        "a model of characters, without a table of tokens",
        _of_characters,
        r"model\.name: CanineForSequenceClassification has no table of tokens",
    ),
    Kind(
        "a model that takes other inputs than token ids",
        _of_other_inputs,
        r"model\.name: the model fails on a text of \d+ tokens \(\w+Error: ",
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
        "a model whose answers are drawn by chance",
        _built("reformer"),
        r"model\.name: the model answers a text of \d+ tokens differently when it comes again: .* off",
    ),
    Kind(
        "a model that fails on texts shorter than its limit",
        _built("reformer", attn_layers=["local"], axial_pos_shape=[8, 8]),
        r"model\.max_tokens: the model fails on a text of 1024 tokens \(.*\); allowed is 64 or less",
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
