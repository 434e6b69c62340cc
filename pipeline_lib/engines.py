"""Which engine computes, and how each is made from a checkpoint folder."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipeline_lib import loading, openvino_engine
from pipeline_lib.checkpoint import Checkpoint
from pipeline_lib.config import ModelSettings
from pipeline_lib.engine import Engine, Ids, same
from pipeline_lib.errors import CheckpointError, SettingsError
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
    load = partial(_load, folder, settings, checkpoint)
    if checkpoint.engine == "openvino" and device == "cpu":
        return _openvino(partial(load, "float32"), checkpoint.inputs, checkpoint.fingerprint, precision)
    if device != "cpu" and precision in _PACKED_PRECISIONS and _packs(folder, settings, checkpoint):
        return PackedEngine(loading.load_model(folder, settings, precision), checkpoint.inputs, device)
    return TorchEngine(load(precision), checkpoint.inputs, device)


def _load(folder: Path, settings: ModelSettings, checkpoint: Checkpoint, precision: str) -> Any:
    model = loading.load_model(folder, settings, precision)
    if checkpoint.first_token_alone:
        engine = TorchEngine(model, checkpoint.inputs, "cpu")
        for_first_token(model, lambda: engine.check(checkpoint.probe))
    return model


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


def choose(
    settings: ModelSettings,
    model: Any,
    inputs: Sequence[str],
    fingerprint: str,
    probes: tuple[list[Ids], list[Ids]],
) -> str:
    """Return the name of the engine that the settings ask for, or of the better one on this machine.

    Args:
        settings: with the engine and the precision.
        model: in float32.
        inputs: the inputs that the checkpoint's tokenizer gives its model.
        fingerprint: the checkpoint's.
        probes: a batch of token ids and token type ids, which OpenVINO must answer as PyTorch does.

    Raises:
        SettingsError: OpenVINO is asked for, and is not installed or can't compute in this precision.
        CheckpointError: OpenVINO is asked for, and can't run this model.
    """
    possible = settings.precision in openvino_engine.PRECISIONS and openvino_engine.is_installed()
    if settings.engine == "torch" or (settings.engine == "auto" and not possible):
        return "torch"
    if settings.engine == "auto" and not openvino_engine.is_worthwhile():
        return "torch"
    if settings.precision not in openvino_engine.PRECISIONS:
        raise SettingsError(f"model.engine: openvino computes in float32 and bfloat16, not in {settings.precision}")
    try:
        why_not = _why_not(_openvino(lambda: model, inputs, fingerprint, "float32"), model, inputs, probes)
    except SettingsError:
        raise
    except Exception as error:  # noqa: BLE001 - a conversion may fail in any way
        why_not = " ".join(str(error).split())[:200]
    if why_not and settings.engine == "openvino":
        raise CheckpointError(f"model.engine: openvino can't run {settings.name!r}: {why_not}; use torch")
    return "torch" if why_not else "openvino"


def _openvino(load: Any, inputs: Sequence[str], fingerprint: str, precision: str) -> Engine:
    import torch

    if not openvino_engine.is_installed():
        raise SettingsError("model.engine: OpenVINO is not installed here; pip install 'nightscore[openvino]'")
    path, pad = openvino_engine.converted(load, inputs, fingerprint)
    return OpenVinoEngine(path, inputs, pad, precision, torch.get_num_threads())


def _why_not(engine: Engine, model: Any, inputs: Sequence[str], probes: tuple[list[Ids], list[Ids]]) -> str:
    rows, types = probes
    found, expected = engine.logits(rows, types), TorchEngine(model, inputs, "cpu").logits(rows, types)
    return "" if same(found, expected, _TOLERANCE) else f"its logits are {np.abs(found - expected).max():.1g} off"
