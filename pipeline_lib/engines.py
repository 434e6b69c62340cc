"""Which engine computes, and how each is made from a checkpoint folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline_lib import loading, openvino_engine
from pipeline_lib.checkpoint import Checkpoint
from pipeline_lib.config import ModelSettings
from pipeline_lib.conversion import ConversionError, Source, answers_of_child
from pipeline_lib.engine import Engine, Ids, same
from pipeline_lib.errors import CheckpointError, FaultError, SettingsError
from pipeline_lib.last_layer import for_first_token
from pipeline_lib.openvino_engine import OpenVinoEngine
from pipeline_lib.packed_engine import PackedEngine, can_be_packed
from pipeline_lib.torch_engine import TorchEngine

# What another order of summing changes, and no more; a wrong conversion is off by far more.
_TOLERANCE = 2e-5
# Those that the GPU's attention for packed rows computes in.
_PACKED_PRECISIONS = ("bfloat16", "float16")
_LONG = 512


def load_engine(
    folder: Path, settings: ModelSettings, checkpoint: Checkpoint, device: str, precision: str
) -> Engine:
    """Load the checkpoint into the engine that was chosen for it; on a GPU that is always PyTorch.

    Args:
        folder: the checkpoint's files on this machine.
        settings: under which rules of trust it is loaded.
        checkpoint: as examined.
        device: `cpu` or `cuda`.
        precision: as in `model.precision`.

    Raises:
        SettingsError: OpenVINO was chosen and is not installed on this machine.
    """
    if checkpoint.engine == "openvino" and device == "cpu":
        return _openvino(source_of(folder, settings, checkpoint), checkpoint.fingerprint, precision)
    if device != "cpu" and precision in _PACKED_PRECISIONS and _packs(folder, settings, checkpoint):
        return PackedEngine(loading.load_model(folder, settings, precision), checkpoint.inputs, device)
    narrowed_by = (checkpoint.inputs, checkpoint.probe) if checkpoint.first_token_alone else None
    return TorchEngine(load_model(folder, settings, precision, narrowed_by), checkpoint.inputs, device)


def load_model(
    folder: Path,
    settings: ModelSettings,
    precision: str,
    narrowed_by: tuple[Sequence[str], Sequence[int]] | None,
) -> Any:
    """Load a checkpoint's model.

    Args:
        folder: the checkpoint's files on this machine.
        settings: under which rules of trust it is loaded.
        precision: as in `model.precision`.
        narrowed_by: to have its last layer compute the first token alone, the tokenizer's inputs and token ids that
            the model answers; see `narrow`.
    """
    model = loading.load_model(folder, settings, precision)
    if narrowed_by:
        inputs, probe = narrowed_by
        engine = TorchEngine(model, inputs, "cpu")
        for_first_token(model, lambda: engine.check(probe))
    return model


def source_of(folder: Path, settings: ModelSettings, checkpoint: Checkpoint) -> Source:
    """Return what OpenVINO converts of an examined checkpoint, on any machine the same."""
    return Source(
        folder=folder,
        settings=settings,
        inputs=checkpoint.inputs,
        pads_safely=checkpoint.pads_safely,
        first_token_alone=checkpoint.first_token_alone,
        rows=checkpoint.probes,
        types=checkpoint.probe_types,
    )


def narrow(model: Any, inputs: Sequence[str], probes: tuple[list[Ids], list[Ids]]) -> bool:
    """Have a model's last layer compute the first token only, if its logits stay the same.

    Args:
        model: in float32.
        inputs: the inputs that the checkpoint's tokenizer gives its model.
        probes: a batch of token ids and token type ids.

    Returns:
        Whether they do; if not, the model is as it was.
    """
    engine = TorchEngine(model, inputs, "cpu")
    expected = engine.logits(*probes)
    undo = for_first_token(model, lambda: engine.logits(*probes))
    if undo is None:
        return False
    try:
        right = same(engine.logits(*probes), expected, _TOLERANCE)
    except Exception:  # noqa: BLE001 - what a model makes of a single token can't be foreseen
        right = False
    if not right:
        undo()
    return right


def _packs(folder: Path, settings: ModelSettings, checkpoint: Checkpoint) -> bool:
    """Tell whether rows of this checkpoint can be packed, from three texts, one as long as may come."""
    short = np.array(checkpoint.probe, np.int32)
    # From the middle on, so that a short text's special tokens stay at its ends.
    middle, at = np.resize(short, _LONG), len(short) // 2
    long = np.concatenate([short[:at], middle, short[at:]])[: checkpoint.max_tokens or _LONG]
    rows = [short, long, short]
    model = loading.load_model(folder, settings, "float32")
    return can_be_packed(model, checkpoint.inputs, rows, [np.zeros_like(row) for row in rows])


def choose(settings: ModelSettings, model: Any, source: Source, fingerprint: str) -> str:
    """Return the name of the engine that the settings ask for, or of the better one on this machine.

    Args:
        settings: with the engine and the precision.
        model: in float32.
        source: the same for OpenVINO, with the rows that it must answer as PyTorch does.
        fingerprint: the checkpoint's.

    Raises:
        SettingsError: OpenVINO is asked for, and is not installed or can't compute in this precision.
        CheckpointError: OpenVINO is asked for, and can't run this model.
    """
    possible = settings.precision in openvino_engine.PRECISIONS and openvino_engine.is_installed()
    if settings.engine == "torch" or (settings.engine == "auto" and not possible):
        return "torch"
    # What a checkpoint's own code decides by looking at a text is decided for good when it is converted.
    if settings.engine == "auto" and (openvino_engine.auto_engine() == "torch" or _brings_code(model)):
        return "torch"
    if settings.precision not in openvino_engine.PRECISIONS:
        raise SettingsError(f"model.engine: openvino computes in float32 and bfloat16, not in {settings.precision}")
    _refuse_absence()
    try:
        why_not = _why_not(model, source, fingerprint)
    except Exception as error:  # noqa: BLE001 - a conversion may fail in any way
        why_not = " ".join(str(error).split())[:200]
    if why_not and settings.engine == "openvino":
        raise CheckpointError(f"model.engine: openvino can't run {settings.name!r}: {why_not}; use torch")
    return "torch" if why_not else "openvino"


def _brings_code(model: Any) -> bool:
    return not type(model).__module__.startswith("transformers.")


def _refuse_absence() -> None:
    if not openvino_engine.is_installed():
        raise SettingsError("model.engine: OpenVINO is not installed here; pip install 'nightscore[openvino]'")


def _openvino(source: Source, fingerprint: str, precision: str) -> Engine:
    import torch

    _refuse_absence()
    try:
        path = openvino_engine.converted(source, fingerprint)
    except ConversionError as error:
        # Planning saw it work elsewhere; another engine would mix two kinds of scores.
        raise FaultError(
            f"model.engine: openvino can't run {source.settings.name!r} on this machine: {error}; use torch"
        ) from None
    return OpenVinoEngine(path, source.inputs, precision, torch.get_num_threads())


def _why_not(model: Any, source: Source, fingerprint: str) -> str:
    """Return how OpenVINO's logits differ from PyTorch's, or an empty string."""
    import torch

    engine = TorchEngine(model, source.inputs, "cpu")
    path = openvino_engine.converted(source, fingerprint)
    found = answers_of_child(path, source, torch.get_num_threads())
    for batch, answer in zip(source.batches(), found, strict=True):
        expected = engine.logits(*batch)
        if not same(answer, expected, _TOLERANCE):
            return f"its logits are {np.abs(answer - expected).max():.1g} off"
    return ""
