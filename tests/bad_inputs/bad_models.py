"""Checkpoints of models that can't be scored with, and the error that each gets."""

from pathlib import Path
from typing import Any

import transformers

from tests.bad_inputs.checkpoint_changes import changed_model, with_config
from tests.bad_inputs.job_folder import Case, Change, JobFolder, setting
from tests.helpers.checkpoints import any_architecture, poisoned


def _needs_code(folder: Path) -> None:
    with_config(model_type="mine", auto_map={"AutoConfig": "mine.MyConfig"})(folder)
    (folder / "mine.py").write_text(f"import os\nos.mkdir({str(folder.parent / 'ran')!r})\n")


def _of_characters(job: JobFolder) -> list[str]:
    config = transformers.CanineConfig(**_TINY, local_transformer_stride=8, num_hash_buckets=64)
    folder = job.folder / "canine"
    transformers.CanineForSequenceClassification(config).save_pretrained(folder)
    transformers.CanineTokenizer(model_max_length=64).save_pretrained(folder)
    return list(setting(f"model.name={folder}")(job))


def _of_other_inputs(job: JobFolder) -> list[str]:
    sizes = {"num_latents": 4, "d_latents": 16, "d_model": 16, "num_blocks": 1, "num_self_attends_per_block": 1}
    config = transformers.PerceiverConfig(
        **sizes, num_self_attention_heads=2, num_cross_attention_heads=2, max_position_embeddings=64
    )
    folder = job.folder / "perceiver"
    transformers.PerceiverForSequenceClassification(config).save_pretrained(folder)
    transformers.PerceiverTokenizer(model_max_length=64).save_pretrained(folder)
    return list(setting(f"model.name={folder}")(job))


_TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}


def _dies_when_converted(job: JobFolder) -> list[str]:
    folder = poisoned.build(job.checkpoint, job.folder / "changed", job.folder / "flag", when_traced="dies")
    return list(setting(f"model.name={folder}", "model.engine=openvino", "model.allow_remote_code=true")(job))


def _built(architecture: str, **changes: Any) -> Change:
    """Build a checkpoint of another architecture, and name it in the settings."""

    def apply(job: JobFolder) -> list[str]:
        folder = any_architecture.build(architecture, job.folder / "changed", **changes)
        return list(setting(f"model.name={folder}")(job))

    return apply


MODELS = (
    Case(
        "a model of endless layers",
        changed_model(with_config(num_hidden_layers=10**9)),
        r"config\.json of '.*changed' has num_hidden_layers 1,000,000,000; allowed are 10,000",
    ),
    Case(
        "a model of characters, without a table of tokens",
        _of_characters,
        r"model\.name: CanineForSequenceClassification has no table of tokens",
    ),
    Case(
        "a model that takes other inputs than token ids",
        _of_other_inputs,
        r"model\.name: the model fails on a text of \d+ tokens \(\w+Error: ",
    ),
    Case(
        "a model that ends the process that converts it",
        _dies_when_converted,
        r"model\.engine: openvino can't run '.*changed': .*ended by SIGKILL|OpenVINO is not installed",
    ),
    Case(
        "code of its own",
        changed_model(_needs_code),
        r"model\.name: '.*changed' needs Python code that comes with it; to trust it set model\.allow_remote_code",
    ),
    Case(
        "an unknown kind of model",
        changed_model(with_config(model_type="brt")),
        r"model\.name: can't load config\.json of '.*changed'.*brt",
    ),
    Case(
        "a model for something else",
        changed_model(with_config(model_type="vit")),
        r"model\.name: can't load .* of '.*changed'",
    ),
    Case(
        "a model whose answers are drawn by chance",
        _built("reformer"),
        r"model\.name: the model answers a text of \d+ tokens differently when it comes again: .* off",
    ),
    Case(
        "a model that fails on texts shorter than its limit",
        _built("reformer", attn_layers=["local"], axial_pos_shape=[8, 8]),
        r"model\.max_tokens: the model fails on a text of 1024 tokens \(.*\); allowed is 64 or less",
    ),
)
