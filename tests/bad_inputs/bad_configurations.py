"""Checkpoints whose configuration or tokenizer is bad, and the error that each gets."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from tests.bad_inputs.checkpoint_changes import (
    changed_model,
    cut_off,
    with_config,
    with_file,
    with_named_pipe,
    without,
)
from tests.bad_inputs.job_folder import Case


def _linked(name: str) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        target = folder.parent / f"elsewhere-{name}"
        (folder / name).rename(target)
        (folder / name).symlink_to(target)

    return apply


def _tokenizer_config(**changes: Any) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        path = folder / "tokenizer_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return apply


def _loads_a_model_for_a_tokenizer(folder: Path) -> None:
    """Have the tokenizer's class be one that unpickles weights."""
    _tokenizer_config(tokenizer_class="AutoModel")(folder)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")


def _special_tokens(folder: Path) -> None:
    """Have the vocabulary read from another place, by way of a file that no longer matters elsewhere."""
    outside = folder.parent / "vocab.txt"
    outside.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n")
    (folder / "special_tokens_map.json").write_text(json.dumps({"vocab_file": str(outside)}))


CONFIGURATIONS = (
    Case(
        "no config.json",
        changed_model(without("config.json")),
        r"model\.name: '.*changed' holds no config\.json \(found 'model\.safetensors'",
    ),
    Case(
        "a config.json that is no JSON",
        changed_model(cut_off("config.json", 0.5)),
        r"model\.name: can't load config\.json of '.*changed'",
    ),
    Case(
        "no tokenizer",
        changed_model(without("token*", "vocab*", "special*")),
        r"model\.name: .*changed' has no vocabulary|model\.name: can't load the tokenizer of '.*changed'",
    ),
    Case(
        "a tokenizer.json cut off",
        changed_model(cut_off("tokenizer.json", 0.5)),
        r"model\.name: can't load the tokenizer of '.*changed'",
    ),
    Case(
        "another number of labels than the head",
        changed_model(with_config(id2label={"0": "a", "1": "b", "2": "c"}, label2id={"a": 0, "b": 1, "c": 2})),
        r"model\.name: can't load the weights of '.*changed': their shapes don't fit config\.json",
    ),
    Case(
        "labels that start at 1",
        changed_model(with_config(id2label={"1": "bad", "2": "good"})),
        r"id2label must number its labels 0, 1, 2, \.\.\.; found \[1, 2\]",
    ),
    Case(
        "labels without numbers",
        changed_model(with_config(id2label={"bad": "bad", "good": "good"})),
        r"model\.name: can't load config\.json of '.*changed'",
    ),
    Case(
        "a configuration that names another configuration",
        changed_model(with_config(configuration_files=["config.4.0.0.json"])),
        r"config\.json of '.*changed' has configuration_files, which is not allowed: it would have another file",
    ),
    *(
        Case(
            f"{name}, a link out of the folder",
            changed_model(_linked(name)),
            rf"{re.escape(name)} of '.*changed' is a link out of the folder; allowed are files in it",
        )
        for name in ("model.safetensors", "config.json", "tokenizer.json")
    ),
    Case(
        "a named pipe for a tokenizer",
        changed_model(with_named_pipe("tokenizer.json")),
        r"tokenizer\.json of '.*changed' is no regular file",
    ),
    Case(
        "attention of a hub's repository",
        changed_model(with_config(attn_implementation="org/repo")),
        r"has attn_implementation 'org/repo', which would have other code run; allowed are 'eager', .*'sdpa'",
    ),
    Case(
        "attention of a hub's repository, by the private name",
        changed_model(with_config(_attn_implementation="org/repo@main:function")),
        r"has _attn_implementation 'org/repo@main:function', which would have other code run",
    ),
    Case(
        "attention of a hub's repository, for a part",
        changed_model(with_config(attn_implementation={"": "sdpa", "text_config": "org/repo"})),
        r"has attn_implementation 'org/repo', which would have other code run",
    ),
    Case(
        "attention of a hub's repository, in a nested configuration",
        changed_model(with_config(text_config={"inner": [{"attn_implementation": "org/repo"}]})),
        r"has attn_implementation 'org/repo', which would have other code run",
    ),
    Case(
        "experts of a hub's repository",
        changed_model(with_config(experts_implementation="sonicmoe")),
        r"has experts_implementation 'sonicmoe', which would have other code run",
    ),
    Case(
        "a tokenizer that is a model",
        changed_model(_loads_a_model_for_a_tokenizer),
        r"tokenizer_config\.json of '.*changed' has the tokenizer_class 'AutoModel', which is no tokenizer",
    ),
    Case(
        "a tokenizer that is itself to be looked for",
        changed_model(with_config(tokenizer_class="AutoTokenizer"), _tokenizer_config(tokenizer_class=None)),
        r"config\.json of '.*changed' has the tokenizer_class 'AutoTokenizer', which is no tokenizer",
    ),
    Case(
        "a tokenizer made of what the file gives it",
        changed_model(_tokenizer_config(init_inputs=["/etc/passwd"])),
        r"tokenizer_config\.json of '.*changed' has init_inputs, which would have other files read",
    ),
    Case(
        "a tokenizer's file of another folder",
        changed_model(_tokenizer_config(fast_tokenizer_files=["tokenizer./../../4.0.0.json"])),
        r"tokenizer_config\.json of '.*changed' names 'tokenizer\./\.\./\.\./4\.0\.0\.json'; allowed are names",
    ),
    Case(
        "a vocabulary among the special tokens",
        changed_model(_special_tokens),
        r"special_tokens_map\.json of '.*changed' has 'vocab_file'; allowed are special tokens",
    ),
    Case(
        "a config.json nested without end",
        changed_model(with_file("config.json", b'{"a":' * 100_000 + b"1" + b"}" * 100_000)),
        r"can't load config\.json of '.*changed': it is no JSON",
    ),
    Case(
        "a config.json of many megabytes",
        changed_model(with_config(filler="x" * (17 << 20))),
        r"can't load config\.json of '.*changed': it has 17,.* bytes; allowed are 16,777,216",
    ),
    *(
        Case(
            f"a model of endless parts ({key})",
            changed_model(with_config(**{key: value})),
            rf"config\.json of '.*changed' has {key} 1,000,000,000; allowed are 10,000",
        )
        for key, value in {"num_hidden_groups": 10**9, "inner_group_num": 10**9, "block_sizes": [4, 10**9]}.items()
    ),
    Case(
        "a tokenizer that makes tokens without end",
        changed_model(_tokenizer_config(tokenizer_class="T5Tokenizer", extra_ids=10**9)),
        r"tokenizer_config\.json of '.*changed' has extra_ids 1,000,000,000; allowed are 100,000",
    ),
    Case(
        "a token of an endless number",
        changed_model(_tokenizer_config(added_tokens_decoder={"1000000000": {"content": "x"}})),
        r"tokenizer_config\.json of '.*changed' has added_tokens_decoder 1,000,000,000; allowed are 10,000,000",
    ),
    Case(
        "labels without end",
        changed_model(with_config(id2label=None, num_labels=10**9)),
        r"config\.json of '.*changed' has num_labels 1,000,000,000; allowed are 1,000,000",
    ),
)
