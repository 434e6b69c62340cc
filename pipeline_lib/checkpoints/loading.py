"""Tokenizers and models from a local checkpoint folder, loaded under the job's rules of trust."""

import os
import sys
from pathlib import Path
from typing import Any

from pipeline_lib.checkpoints.checkpoint_files import EXTRA_WEIGHTS, TOKENIZER_FILES, loaded_files, weight_files
from pipeline_lib.checkpoints.checkpoint_json import read_config, read_tokenizer_config
from pipeline_lib.checkpoints.load_errors import TOKENIZER, load_errors_explained
from pipeline_lib.errors import CheckpointError, listed
from pipeline_lib.settings.sections.model import ModelSettings


def load_config(folder: Path, settings: ModelSettings) -> Any:
    """Return the checkpoint's configuration.

    Raises:
        CheckpointError: it is missing, damaged, of an unknown kind, or needs code that is not allowed.
    """
    _without_hub_kernels()
    from transformers import AutoConfig

    read_config(folder, settings)
    with load_errors_explained(folder, settings, "config.json"):
        return AutoConfig.from_pretrained(folder, trust_remote_code=settings.allow_remote_code)


def load_tokenizer(folder: Path, settings: ModelSettings) -> Any:
    """Return the checkpoint's tokenizer.

    Raises:
        CheckpointError: its files are missing or damaged, or it needs code that is not allowed.
    """
    _without_hub_kernels()
    from transformers import AutoTokenizer

    loaded_files(folder, settings)
    # A pool of workers tokenizes; threads inside each of them would fight for the same CPUs.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    with load_errors_explained(folder, settings, TOKENIZER):
        _check_tokenizer_class(folder, settings)
        tokenizer = AutoTokenizer.from_pretrained(
            folder, trust_remote_code=settings.allow_remote_code, **_no_other_files(folder, settings)
        )
    unknown = sorted({*tokenizer.vocab_files_names.values()} - {*TOKENIZER_FILES})
    if unknown and not settings.allow_remote_code:
        raise CheckpointError(
            f"model.name: {type(tokenizer).__name__} of {settings.name!r} reads {listed(unknown)}, which this "
            "program would neither fetch nor have in the version"
        )
    # Without its files a tokenizer is made all the same, of special tokens alone.
    if len(tokenizer) <= len(set(tokenizer.all_special_tokens)):
        raise CheckpointError(f"model.name: {settings.name!r} has no vocabulary; is tokenizer.json missing?")
    return tokenizer


def load_model(folder: Path, settings: ModelSettings, precision: str) -> Any:
    """Return the model in evaluation mode, in the named precision, on the CPU.

    Raises:
        CheckpointError: there is no classifier head, weights are missing, pickled or damaged, or code that is
            not allowed is needed.
    """
    _without_hub_kernels()
    import torch
    from transformers import AutoModelForSequenceClassification

    weights = weight_files(folder, settings)
    config = load_config(folder, settings)
    # Else the configuration's choice is taken, which may be a repository of kernels. Without one transformers takes
    # PyTorch's attention where the architecture has it, and its own where not.
    config._attn_implementation = "eager" if config._attn_implementation == "eager" else None  # noqa: SLF001
    _check_extra_weights(config, settings)
    with load_errors_explained(folder, settings, "the weights"):
        model, report = AutoModelForSequenceClassification.from_pretrained(
            folder,
            config=config,
            dtype="auto" if precision == "auto" else getattr(torch, precision),
            use_safetensors=weights[0].name.startswith("model.safetensors"),
            trust_remote_code=settings.allow_remote_code,
            output_loading_info=True,
        )
    missing = sorted(report["missing_keys"])
    if missing:
        raise CheckpointError(
            f"model.name: {settings.name!r} lacks the weights {listed(missing, 4)}, which would be drawn at "
            "random; it is not a fine-tuned sequence classifier"
        )
    return model.eval()


def _without_hub_kernels() -> None:
    """Have transformers find no `kernels`: with it, some models fetch compiled code from a hub to run faster.

    It works where the package was not imported before, as in every process of a job.
    """
    os.environ["USE_HUB_KERNELS"] = "0"
    sys.modules.setdefault("kernels", None)  # type: ignore[arg-type]


def _check_tokenizer_class(folder: Path, settings: ModelSettings) -> None:
    """Refuse a class that is no tokenizer: transformers would have any class of its own load the folder."""
    from transformers import PreTrainedTokenizerBase
    from transformers.models.auto.tokenization_auto import tokenizer_class_from_name

    configs = {"tokenizer_config.json": read_tokenizer_config, "config.json": read_config}
    for file, read in configs.items():
        name = read(folder, settings).get("tokenizer_class")
        if name is None:
            continue
        kind = tokenizer_class_from_name(name) if isinstance(name, str) else int
        # Where the packages of a class are not installed, transformers has a stand-in that names them.
        missing_packages = getattr(kind, "_backends", None)
        if missing_packages:
            raise CheckpointError(
                f"model.name: {name} of {settings.name!r} needs packages that are not here; pip install "
                f"{' '.join(missing_packages)}"
            )
        if kind is not None and not (isinstance(kind, type) and issubclass(kind, PreTrainedTokenizerBase)):
            raise CheckpointError(
                f"model.name: {file} of {settings.name!r} has the tokenizer_class {name!r:.200}, which is no "
                "tokenizer of transformers"
            )


def _no_other_files(folder: Path, settings: ModelSettings) -> dict[str, None]:
    """Return options that take the place of paths in tokenizer_config.json, which would be opened as they are."""
    named = read_tokenizer_config(folder, settings)
    return {
        key: None
        for key, value in named.items()
        if isinstance(value, str) and (key.endswith("_file") or key in {"vocab", "merges"})
    }


def _check_extra_weights(config: Any, settings: ModelSettings) -> None:
    unknown = sorted({*getattr(type(config), "extra_files", ())} - {*EXTRA_WEIGHTS})
    if unknown:
        raise CheckpointError(
            f"model.name: {type(config).__name__} of {settings.name!r} loads {listed(unknown)}, which this program "
            "would not have in the version"
        )
