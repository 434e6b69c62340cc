"""Tokenizers and models from a local checkpoint folder, loaded under the job's rules of trust."""

import contextlib
import importlib.util
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline_lib.checkpoints.checkpoint_files import EXTRA_WEIGHTS, TOKENIZER_FILES, loaded_files, weight_files
from pipeline_lib.checkpoints.checkpoint_json import read_config, read_tokenizer_config
from pipeline_lib.errors import CheckpointError, listed
from pipeline_lib.settings.settings import ModelSettings

# A tokenizer without a limit of its own says 1e30; anything above this is no real length.
_NO_LIMIT = 1e20
_TOKENIZER = "the tokenizer"
_POSITION_TABLES = ("position_embeddings", "wpe", "embed_positions", "position_embedding", "pos_embeddings")


def load_config(folder: Path, settings: ModelSettings) -> Any:
    """Return the checkpoint's configuration.

    Raises:
        CheckpointError: it is missing, damaged, of an unknown kind, or needs code that is not allowed.
    """
    _without_hub_kernels()
    from transformers import AutoConfig

    read_config(folder, settings)
    with _explained(folder, settings, "config.json"):
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
    with _explained(folder, settings, _TOKENIZER):
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
    with _explained(folder, settings, "the weights"):
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


def max_tokens_of(tokenizer: Any, model: Any, wanted: int | None) -> int | None:
    """Return the longest text in tokens: the tightest of the user's, the tokenizer's and the model's limit."""
    limits = [wanted, _position_limit(model)]
    if 0 < tokenizer.model_max_length < _NO_LIMIT:
        limits.append(int(tokenizer.model_max_length))
    return min((limit for limit in limits if limit is not None), default=None)


def first_position(model: Any) -> int:
    """Return the number of a text's first position: RoBERTa and its kin keep some of their table for padding."""
    table = _position_table(model)
    return _reserved(table) if table is not None else 0


def _position_table(model: Any) -> Any:
    tables = (
        module
        for name, module in model.named_modules()
        if getattr(module, "num_embeddings", None) and name.rsplit(".", 1)[-1] in _POSITION_TABLES
    )
    return next(tables, None)


def _reserved(table: Any) -> int:
    padding = getattr(table, "padding_idx", None)
    return int(getattr(table, "offset", 0) if padding is None else padding + 1)


def _position_limit(model: Any) -> int | None:
    """Return how many positions the model has, less those that a table keeps for padding."""
    table = _position_table(model)
    config = model.config.get_text_config()
    stated = [getattr(config, name, None) for name in ("max_position_embeddings", "max_seq_len")]
    limits = [limit for limit in stated if isinstance(limit, int) and limit > 0]
    if table is not None:
        # Nyströmformer and its kin have a longer table than positions.
        limits.append(int(table.num_embeddings) - _reserved(table))
    return min(limits, default=None)


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
        found = tokenizer_class_from_name(name) if isinstance(name, str) else int
        lacking = getattr(found, "_backends", None)  # of a class that stands for one whose packages are not here
        if lacking:
            raise CheckpointError(
                f"model.name: {name} of {settings.name!r} needs packages that are not here; pip install "
                f"{' '.join(lacking)}"
            )
        if found is not None and not (isinstance(found, type) and issubclass(found, PreTrainedTokenizerBase)):
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


def quiet() -> None:
    """Silence the libraries' progress bars, load reports and advice; their errors still raise."""
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    warnings.filterwarnings("ignore", module=r"(transformers|torch|huggingface_hub)\b")


def _why_unread(folder: Path) -> str:
    """Tell why a vocabulary could not be read; transformers then asks for tiktoken, whatever it is."""
    lacking = [name for name in ("sentencepiece", "google.protobuf") if not _is_installed(name)]
    if lacking:
        return f"it needs packages that are not here; pip install {' '.join(lacking).replace('google.', '')}"
    models = [name for name in TOKENIZER_FILES if name.endswith(".model") and (folder / name).is_file()]
    return f"{listed(models)} is no model of SentencePiece; if it is one of tiktoken, pip install tiktoken"


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # what it is part of is not there
        return False


@contextlib.contextmanager
def _explained(folder: Path, settings: ModelSettings, what: str) -> Iterator[None]:
    try:
        quiet()
        yield
    except CheckpointError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())
        if what == _TOKENIZER and "tiktoken" in reason:
            reason = _why_unread(folder)
        if "trust_remote_code" in reason:
            raise CheckpointError(
                f"model.name: {settings.name!r} needs Python code that comes with it; to trust it set "
                "model.allow_remote_code"
            ) from None
        if "weights_only" in reason:
            reason = "the pickle holds more than tensors, which could run code"
        if "ignore_mismatched_sizes" in reason:
            reason = "their shapes don't fit config.json; does it state another number of labels?"
        raise CheckpointError(f"model.name: can't load {what} of {settings.name!r}: {reason:.300}") from error
