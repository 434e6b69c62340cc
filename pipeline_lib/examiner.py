"""A close look at a checkpoint before work starts: loaded once, checked, and tried on two texts."""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline_lib import loading
from pipeline_lib.checkpoint import PROBE, Checkpoint, fingerprint, labels_of, locate, resolve_activation
from pipeline_lib.config import Settings
from pipeline_lib.conversion import Source
from pipeline_lib.engine import Engine, Ids, same
from pipeline_lib.engines import choose, narrow
from pipeline_lib.errors import CheckpointError, NightscoreError, SettingsError
from pipeline_lib.examined import remembered
from pipeline_lib.torch_engine import TorchEngine

# In float32, padding changes a logit in its last digits only; a model that minds padding is off by far more.
_PADDING_TOLERANCE = 1e-4
_PROBES = (PROBE, "a somewhat longer text, so that the first one must be padded to its length")


def examine(settings: Settings) -> Checkpoint:
    """Find, load and check the checkpoint that the settings name.

    Raises:
        CheckpointError: it can't be found, loaded or trusted to give the pipeline's answers.
        SettingsError: `model.max_tokens` leaves no room for text.
    """
    folder, commit = locate(settings.model)
    content = fingerprint(folder, settings.model)
    return remembered(settings, content, commit, lambda: _look(settings, folder, content, commit))


def _look(settings: Settings, folder: Path, content: str, commit: str | None) -> Checkpoint:
    try:
        return _tried(settings, folder, content, commit)
    except NightscoreError:
        raise
    except Exception as error:  # a model's own code may raise anything
        kind, reason = type(error).__name__, " ".join(str(error).split())
        raise CheckpointError(
            f"model.name: {settings.model.name!r} can't answer {PROBE!r}: {kind}: {reason:.200}"
        ) from error


def _tried(settings: Settings, folder: Path, content: str, commit: str | None) -> Checkpoint:
    config = loading.load_config(folder, settings.model)
    labels = labels_of(config)
    tokenizer = loading.load_tokenizer(folder, settings.model)
    model = loading.load_model(folder, settings.model, "float32")
    limit = loading.max_tokens_of(tokenizer, model, settings.model.max_tokens)
    _check_room(tokenizer, limit, pairs=settings.input.text_pair_column is not None)
    inputs = tuple(tokenizer.model_input_names)
    rows, types = _probes(tokenizer, limit)
    pads_safely = _pads_safely(TorchEngine(model, inputs, "cpu"), rows, types, masked="attention_mask" in inputs)
    several = len(rows) if pads_safely else 1
    probes = rows[:several], types[:several]
    source = Source(
        folder=folder,
        settings=settings.model,
        inputs=inputs,
        pads_safely=pads_safely,
        first_token_alone=narrow(model, inputs, probes),
        rows=tuple(tuple(row.tolist()) for row in probes[0]),
        types=tuple(tuple(row.tolist()) for row in probes[1]),
    )
    return Checkpoint(
        name=settings.model.name,
        commit=commit,
        fingerprint=content,
        architecture=type(model).__name__,
        labels=labels,
        activation=resolve_activation(settings.model, config),
        max_tokens=limit,
        vocabulary=_vocabulary(model),
        inputs=inputs,
        engine=choose(settings.model, model, source, content),
        pads_safely=pads_safely,
        first_token_alone=source.first_token_alone,
        probe=source.rows[0],
        probes=source.rows,
        probe_types=source.types,
    )


def _vocabulary(model: Any) -> int:
    """Return how many tokens the model's table has."""
    try:
        return int(model.get_input_embeddings().weight.shape[0])
    except (NotImplementedError, AttributeError):
        raise CheckpointError(
            f"model.name: {type(model).__name__} has no table of tokens; models of characters or bytes without one "
            "can't be used"
        ) from None


def _check_room(tokenizer: Any, limit: int | None, *, pairs: bool) -> None:
    special = tokenizer.num_special_tokens_to_add(pair=pairs)
    if limit is not None and limit <= special:
        raise SettingsError(
            f"model.max_tokens: {limit} leaves no room for text beside {special} special tokens; "
            f"allowed is {special + 1} or more"
        )


def _probes(tokenizer: Any, limit: int | None) -> tuple[list[Ids], list[Ids]]:
    """Return token ids and token type ids of the two probes, the short one first."""
    encoded = [tokenizer(text, truncation=limit is not None, max_length=limit) for text in _PROBES]
    rows = [np.array(entry["input_ids"], np.int32) for entry in encoded]
    return rows, [np.array(entry.get("token_type_ids", []), np.int32) for entry in encoded]


def _pads_safely(engine: Engine, rows: list[Ids], types: list[Ids], *, masked: bool) -> bool:
    """Tell whether the short probe's logits stay the same when it is padded to the long one's length."""
    alone = engine.logits(rows[:1], types[:1])
    if not np.isfinite(alone).all():
        raise CheckpointError(f"model.name: the model's answer to {PROBE!r} is not finite: {alone.tolist()}")
    if not masked:
        return False
    try:
        together = engine.logits(rows, types)
    except (RuntimeError, ValueError, IndexError):
        return False  # a model that refuses a padded batch is run on batches of one length
    return same(together[:1], alone, _PADDING_TOLERANCE)
