"""Inspect a checkpoint before work starts: load it once, check it, and try it on texts of many lengths."""

from typing import Any

from pipeline_lib.checkpoints import loading
from pipeline_lib.checkpoints.checkpoint import (
    PROBE,
    Checkpoint,
    fingerprint,
    labels_of,
    resolve_activation,
    tokenizer_fingerprint,
)
from pipeline_lib.checkpoints.fetching import locate
from pipeline_lib.checkpoints.token_limits import max_tokens_of
from pipeline_lib.engines.computation import PACKED_PRECISIONS
from pipeline_lib.engines.inspection.calibration import calibration_rows, calibration_texts
from pipeline_lib.engines.inspection.cls_pooling_check import compute_cls_only
from pipeline_lib.engines.inspection.embedding_check import with_embedding
from pipeline_lib.engines.inspection.engine_choice import choose_cpu_engine
from pipeline_lib.engines.inspection.inspection_cache import Subject, cached_inspection
from pipeline_lib.engines.inspection.packing_check import why_not_packed
from pipeline_lib.engines.inspection.probe_answers import AnsweredTexts, ProbeAnswers
from pipeline_lib.engines.inspection.probe_texts import ProbeTexts
from pipeline_lib.engines.inspection.row_independence import check_row_independence
from pipeline_lib.engines.inspection.window_check import window_cut
from pipeline_lib.engines.openvino.conversion import Source
from pipeline_lib.errors import CheckpointError, NightscoreError, SettingsError
from pipeline_lib.settings.sections.model import ModelSettings
from pipeline_lib.settings.settings import Settings


def inspect_checkpoint(settings: Settings) -> Checkpoint:
    """Find, load and check the checkpoint that the settings name.

    The `Checkpoint` carries what is decided here, and nothing decides it again: whether rows can be padded or
    packed, whether the model keeps state, how much of its last layer is computed, and its engine on CPUs.

    Raises:
        CheckpointError: it can't be found, loaded or trusted to give the pipeline's answers.
        SettingsError: `model.max_tokens` leaves no room for text.
        InputError: the texts of `model.calibration` can't be read.
    """
    folder, commit = locate(settings.model)
    content = fingerprint(folder, settings.model)
    return cached_inspection(Subject(settings, folder, content, commit, calibration_texts(settings)), _explained)


def _explained(subject: Subject) -> Checkpoint:
    try:
        return _inspected(subject)
    except NightscoreError:
        raise
    except Exception as error:  # a model's own code may raise anything
        kind, reason = type(error).__name__, " ".join(str(error).split())
        raise CheckpointError(
            f"model.name: {subject.settings.model.name!r} can't answer {PROBE!r}: {kind}: {reason:.200}"
        ) from error


def _inspected(subject: Subject) -> Checkpoint:
    settings, folder = subject.settings, subject.folder
    config = loading.load_config(folder, settings.model)
    labels = labels_of(config)
    tokenizer = loading.load_tokenizer(folder, settings.model)
    model = loading.load_model(folder, settings.model, "float32")
    limit = max_tokens_of(tokenizer, model, settings.model.max_tokens)
    _check_limit(tokenizer, limit, pairs=settings.input.text_pair_column is not None)
    windows = window_cut(settings.model, tokenizer, limit)
    inputs = tuple(tokenizer.model_input_names)
    texts = ProbeTexts(tokenizer, limit)
    embedding = settings.output.embedding
    width = with_embedding(model, inputs, embedding, texts.short)
    answers = ProbeAnswers(model, inputs, texts, limit)
    independence = check_row_independence(model, inputs, answers)
    source_rows, more_rows, probes = answers.short_and_long(), answers.many_short(), answers.all()
    is_stateful = independence.is_stateful
    packs_safely = not is_stateful and _packs_safely(settings.model, model, inputs, probes)
    source = Source(
        folder=folder,
        settings=settings.model,
        inputs=inputs,
        pads_safely=independence.pads_safely,
        # An embedding of other tokens than the first needs them in the last layer too.
        cls_pooling=not is_stateful
        and embedding in {"none", "first"}
        and compute_cls_only(model, inputs, independence.batches[:1]),
        rows=source_rows.texts,
        more_rows=more_rows.texts,
        embedding=embedding,
        calibration=calibration_rows(subject.calibration, tokenizer, limit),
    )
    return Checkpoint(
        name=settings.model.name,
        commit=subject.commit,
        fingerprint=subject.content,
        tokenizer=tokenizer_fingerprint(folder, settings.model),
        architecture=type(model).__name__,
        labels=labels,
        activation=resolve_activation(settings.model, config.problem_type, config.num_labels),
        max_tokens=limit,
        vocabulary=_vocabulary(model),
        inputs=inputs,
        cpu_engine=choose_cpu_engine(settings.model, model, source, subject.content),
        pads_safely=independence.pads_safely,
        packs_safely=packs_safely,
        is_stateful=is_stateful,
        cls_pooling=source.cls_pooling,
        probe=probes.texts.ids[0],
        long_probe=probes.texts.ids[min(1, len(probes.texts) - 1)],
        probes=source.rows,
        embedding=embedding,
        embedding_width=width,
        windows=windows,
        calibration=source.calibration,
    )


def _packs_safely(settings: ModelSettings, model: Any, inputs: tuple[str, ...], alone: AnsweredTexts) -> bool:
    """Tell whether packed rows are right in float32; only half precision, where they may be used, needs to know."""
    may_pack = settings.precision in {*PACKED_PRECISIONS, "auto"}
    return may_pack and why_not_packed(model, inputs, alone, "cpu") is None


def _vocabulary(model: Any) -> int:
    """Return how many tokens the model's table has."""
    try:
        return int(model.get_input_embeddings().weight.shape[0])
    except (NotImplementedError, AttributeError):
        raise CheckpointError(
            f"model.name: {type(model).__name__} has no table of tokens; models of characters or bytes without one "
            "can't be used"
        ) from None


def _check_limit(tokenizer: Any, limit: int | None, *, pairs: bool) -> None:
    """Refuse a limit that the special tokens alone fill."""
    special = tokenizer.num_special_tokens_to_add(pair=pairs)
    if limit is not None and limit <= special:
        raise SettingsError(
            f"model.max_tokens: {limit} leaves no room for text beside {special} special tokens; "
            f"allowed is {special + 1} or more"
        )
