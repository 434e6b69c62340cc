"""Which engine computes, and how each is made from a checkpoint folder."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipeline_lib import loading, openvino_engine
from pipeline_lib.checkpoint import Checkpoint
from pipeline_lib.config import ModelSettings
from pipeline_lib.engine import Engine, same
from pipeline_lib.errors import CheckpointError, SettingsError
from pipeline_lib.last_layer import for_first_token
from pipeline_lib.neighbours import Batch
from pipeline_lib.openvino_engine import OpenVinoEngine
from pipeline_lib.packed_engine import PackedEngine
from pipeline_lib.packing_probe import packs_here
from pipeline_lib.torch_engine import TorchEngine

# What another order of summing changes, and no more; a wrong conversion is off by far more.
_TOLERANCE = 2e-5
# Those that the GPU's attention for packed rows computes in.
PACKED_PRECISIONS = ("bfloat16", "float16")


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
    model = loading.load_model(folder, settings, precision)
    if device != "cpu" and packs_here(model, checkpoint, device):
        return PackedEngine(model, checkpoint.inputs, device)
    return TorchEngine(_narrowed(model, checkpoint), checkpoint.inputs, device, keeps_state=checkpoint.keeps_state)


def _load(folder: Path, settings: ModelSettings, checkpoint: Checkpoint, precision: str) -> Any:
    return _narrowed(loading.load_model(folder, settings, precision), checkpoint)


def _narrowed(model: Any, checkpoint: Checkpoint) -> Any:
    if checkpoint.first_token_alone:
        engine = TorchEngine(model, checkpoint.inputs, "cpu")
        for_first_token(model, lambda: engine.check(checkpoint.probe))
    return model


def narrow(model: Any, inputs: Sequence[str], batches: Sequence[Batch]) -> bool:
    """Have a model's last layer compute the first token only, if its logits stay the same.

    Args:
        model: in float32.
        inputs: the inputs that the checkpoint's tokenizer gives its model.
        batches: what the model is tried on.

    Returns:
        Whether they do; if not, the model is as it was.
    """
    engine = TorchEngine(model, inputs, "cpu")
    undo = for_first_token(model, lambda: engine.logits(batches[0].rows[:1], batches[0].types[:1]))
    if undo is None:
        return False
    try:
        right = all(same(engine.logits(each.rows, each.types), each.logits, _TOLERANCE) for each in batches)
    except Exception:  # noqa: BLE001 - what a model makes of a single token can't be foreseen
        right = False
    if not right:
        undo()
    return right


def choose(
    settings: ModelSettings,
    model: Any,
    inputs: Sequence[str],
    fingerprint: str,
    batches: Sequence[Batch],
) -> str:
    """Return the name of the engine that the settings ask for, or of the better one on this machine.

    Args:
        settings: with the engine and the precision.
        model: in float32.
        inputs: the inputs that the checkpoint's tokenizer gives its model.
        fingerprint: the checkpoint's.
        batches: what OpenVINO must answer as PyTorch does.

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
        why_not = _why_not(_openvino(lambda: model, inputs, fingerprint, "float32"), batches)
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


def _why_not(engine: Engine, batches: Sequence[Batch]) -> str:
    for batch in batches:
        found = engine.logits(batch.rows, batch.types)
        if not same(found, batch.logits, _TOLERANCE):
            return f"its logits are {np.abs(found - batch.logits).max():.1g} off"
    return ""
