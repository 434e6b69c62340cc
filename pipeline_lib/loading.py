"""Tokenizers and models from a local checkpoint folder, loaded under the job's rules of trust."""

import contextlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline_lib.config import ModelSettings
from pipeline_lib.errors import CheckpointError, listed

# A tokenizer without a limit of its own says 1e30; anything above this is no real length.
_NO_LIMIT = 1e20
_POSITION_TABLES = ("position_embeddings", "wpe", "embed_positions", "position_embedding", "pos_embeddings")


def load_config(folder: Path, settings: ModelSettings) -> Any:
    """Return the checkpoint's configuration.

    Raises:
        CheckpointError: it is missing, damaged, of an unknown kind, or needs code that is not allowed.
    """
    from transformers import AutoConfig

    if not (folder / "config.json").is_file():
        found = listed(sorted(path.name for path in folder.iterdir()))
        raise CheckpointError(f"model.name: {settings.name!r} holds no config.json (found {found})")
    with _explained(settings, "config.json"):
        return AutoConfig.from_pretrained(folder, trust_remote_code=settings.allow_remote_code)


def load_tokenizer(folder: Path, settings: ModelSettings) -> Any:
    """Return the checkpoint's tokenizer.

    Raises:
        CheckpointError: its files are missing or damaged, or it needs code that is not allowed.
    """
    from transformers import AutoTokenizer

    # A pool of workers tokenizes; threads inside each of them would fight for the same CPUs.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    with _explained(settings, "the tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=settings.allow_remote_code)
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
    import torch
    from transformers import AutoModelForSequenceClassification

    safe = any(folder.glob("*.safetensors"))
    if not safe and not settings.allow_pickle:
        pickles = sorted(path.name for ending in ("*.bin", "*.pt", "*.pth") for path in folder.glob(ending))
        raise CheckpointError(
            f"model.name: {settings.name!r} has no .safetensors weights"
            + (f", only {listed(pickles)}, which can run code; to trust it set model.allow_pickle" * bool(pickles))
        )
    with _explained(settings, "the weights"):
        model, report = AutoModelForSequenceClassification.from_pretrained(
            folder,
            dtype="auto" if precision == "auto" else getattr(torch, precision),
            use_safetensors=safe,
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


def quiet() -> None:
    """Silence the libraries' progress bars, load reports and advice; their errors still raise."""
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    warnings.filterwarnings("ignore", module=r"(transformers|torch|huggingface_hub)\b")


@contextlib.contextmanager
def _explained(settings: ModelSettings, what: str) -> Iterator[None]:
    try:
        quiet()
        yield
    except CheckpointError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())
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
