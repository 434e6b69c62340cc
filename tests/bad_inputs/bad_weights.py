"""Checkpoints whose weights are missing, damaged or of another kind, and the error that each gets."""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from tests.bad_inputs.checkpoint_changes import (
    changed_model,
    cut_off,
    with_config,
    with_file,
    with_named_pipe,
    without,
)
from tests.bad_inputs.job_folder import Case


def _weights(change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Callable[[Path], None]:
    def rewrite(folder: Path) -> None:
        changed = change(load_file(folder / "model.safetensors"))
        save_file(changed, folder / "model.safetensors", metadata={"format": "pt"})

    return rewrite


def _lacks_a_file_of_weights(folder: Path) -> None:
    names = load_file(folder / "model.safetensors")
    index = {"metadata": {}, "weight_map": dict.fromkeys(names, "model-00001-of-00002.safetensors")}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model.safetensors").rename(folder / "model-00002-of-00002.safetensors")


_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4665d9f4\nsize 267832558\n"


_ADAPTER = b'{"peft_type": "LORA", "base_model_name_or_path": "org/base"}'

WEIGHTS = (
    Case(
        "no weights",
        changed_model(without("*.safetensors")),
        r"model\.name: '.*changed' has no \.safetensors weights",
    ),
    Case(
        "weights cut off",
        changed_model(cut_off("model.safetensors", 0.5)),
        r"model\.name: can't load the weights of '.*changed'",
    ),
    Case(
        "weights of no bytes",
        changed_model(with_file("model.safetensors", b"")),
        r"model\.name: can't load the weights of '.*changed'",
    ),
    Case(
        "a pointer of git-lfs for weights",
        changed_model(with_file("model.safetensors", _POINTER)),
        r"model\.name: can't load the weights of '.*changed'",
    ),
    Case(
        "one file of several not there",
        changed_model(_lacks_a_file_of_weights),
        r"model\.name: can't load the weights of '.*changed'.*model-00001-of-00002",
    ),
    Case(
        "a base model without a head",
        changed_model(
            _weights(lambda found: {name: tensor for name, tensor in found.items() if "classifier" not in name})
        ),
        r"model\.name: '.*changed' lacks the weights 'classifier\.bias', 'classifier\.weight'.*not a fine-tuned",
    ),
    Case(
        "weights that are not numbers",
        changed_model(
            _weights(lambda found: {name: torch.full_like(tensor, torch.nan) for name, tensor in found.items()})
        ),
        r"model\.name: the model's answer to 'fine' is not finite",
    ),
    Case(
        "a named pipe for weights",
        changed_model(with_named_pipe("model.safetensors")),
        r"model\.safetensors of '.*changed' is no regular file",
    ),
    Case(
        "quantized weights",
        changed_model(with_config(quantization_config={"quant_method": "gptq", "bits": 4})),
        r"has quantization_config, which is not allowed: quantized weights need the code of other libraries",
    ),
    Case(
        "an adapter",
        changed_model(
            with_file("adapter_config.json", b'{"peft_type": "LORA", "base_model_name_or_path": "org/base"}')
        ),
        r"'.*changed' is an adapter, or has one \(adapter_config\.json\); merge it into its base model",
    ),
)
