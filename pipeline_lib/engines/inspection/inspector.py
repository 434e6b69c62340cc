"""A close look at a checkpoint before work starts: loaded once, checked, and tried on texts of many lengths."""

from pathlib import Path
from typing import Any

from pipeline_lib.checkpoints import loading
from pipeline_lib.checkpoints.checkpoint import (
    PROBE,
    Checkpoint,
    fingerprint,
    labels_of,
    resolve_activation,
)
from pipeline_lib.checkpoints.fetching import locate
from pipeline_lib.checkpoints.token_limits import max_tokens_of
from pipeline_lib.engines.engine_loading import PACKED_PRECISIONS, choose, narrow
from pipeline_lib.engines.inspection.inspection_cache import remembered
from pipeline_lib.engines.inspection.row_independence import Batch, Texts, judge
from pipeline_lib.engines.openvino.conversion import Source
from pipeline_lib.engines.packed_engine import why_not_packed
from pipeline_lib.errors import CheckpointError, NightscoreError, SettingsError
from pipeline_lib.settings.settings import ModelSettings, Settings


def examine(settings: Settings) -> Checkpoint:
    """Find, load and check the checkpoint that the settings name.

    Raises:
        CheckpointError: it can't be found, loaded or trusted to give the pipeline's answers.
        SettingsError: `model.max_tokens` leaves no room for text.
    """
    folder, commit = locate(settings.model)
    content = fingerprint(folder, settings.model)
    return remembered(settings, folder, content, commit, lambda: _look(settings, folder, content, commit))


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
    limit = max_tokens_of(tokenizer, model, settings.model.max_tokens)
    _check_room(tokenizer, limit, pairs=settings.input.text_pair_column is not None)
    inputs = tuple(tokenizer.model_input_names)
    texts = Texts(tokenizer, limit)
    verdict = judge(model, inputs, texts, limit)
    packs_safely = not verdict.keeps_state and _packs(settings.model, model, inputs, verdict.alone)
    source = Source(
        folder=folder,
        settings=settings.model,
        inputs=inputs,
        pads_safely=verdict.pads_safely,
        first_token_alone=not verdict.keeps_state and narrow(model, inputs, verdict.batches[:1]),
        rows=tuple(tuple(row.tolist()) for row in verdict.to_convert.rows),
        types=tuple(tuple(row.tolist()) for row in verdict.to_convert.types),
        beside=tuple(tuple(row.tolist()) for row in verdict.beside.rows),
        beside_types=tuple(tuple(row.tolist()) for row in verdict.beside.types),
    )
    return Checkpoint(
        name=settings.model.name,
        commit=commit,
        fingerprint=content,
        architecture=type(model).__name__,
        labels=labels,
        activation=resolve_activation(settings.model, config.problem_type, config.num_labels),
        max_tokens=limit,
        vocabulary=_vocabulary(model),
        inputs=inputs,
        engine=choose(settings.model, model, source, content),
        pads_safely=verdict.pads_safely,
        keeps_state=verdict.keeps_state,
        packs_safely=packs_safely,
        first_token_alone=source.first_token_alone,
        probe=tuple(verdict.alone.rows[0].tolist()),
        long_probe=tuple(verdict.alone.rows[-1 if len(verdict.alone.rows) == 1 else 1].tolist()),
        probes=source.rows,
        probe_types=source.types,
    )


def _packs(settings: ModelSettings, model: Any, inputs: tuple[str, ...], alone: Batch) -> bool:
    """Tell whether packed rows are right in float32; only half precision, where they may be used, asks."""
    half = settings.precision in PACKED_PRECISIONS or settings.precision == "auto"
    return half and why_not_packed(model, inputs, alone, "cpu") is None


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
