"""Errors of transformers while it loads a checkpoint, turned into messages that name the cause and the remedy."""

import contextlib
import importlib.util
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

from pipeline_lib.checkpoints.checkpoint_files import TOKENIZER_FILES
from pipeline_lib.errors import CheckpointError, listed
from pipeline_lib.settings.sections.model import ModelSettings

TOKENIZER = "the tokenizer"


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
def load_errors_explained(folder: Path, settings: ModelSettings, what: str) -> Iterator[None]:
    """Run the block, and raise what fails in it as an error that says what to do.

    Args:
        folder: the checkpoint's files.
        settings: of the model.
        what: is loaded in the block, as the message names it.

    Raises:
        CheckpointError: the block failed.
    """
    try:
        quiet()
        yield
    except CheckpointError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())
        if what == TOKENIZER and "tiktoken" in reason:
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
