"""Which engine computes, and how each is made from a checkpoint folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline_lib.checkpoints import loading
from pipeline_lib.checkpoints.checkpoint import Checkpoint
from pipeline_lib.engines.cls_pooling import for_first_token
from pipeline_lib.engines.engine import Engine, Floats, Ids, same
from pipeline_lib.engines.inspection.packing_check import packs_here
from pipeline_lib.engines.inspection.row_independence import Batch
from pipeline_lib.engines.openvino import openvino_engine
from pipeline_lib.engines.openvino.conversion import ConversionError, Source, answers_of_child
from pipeline_lib.engines.openvino.openvino_engine import OpenVinoEngine
from pipeline_lib.engines.packed_engine import PackedEngine
from pipeline_lib.engines.torch_engine import TorchEngine
from pipeline_lib.errors import CheckpointError, FaultError, SettingsError
from pipeline_lib.settings.settings import Device, ModelSettings

# What another order of summing changes, and no more; a wrong conversion is off by far more.
_TOLERANCE = 2e-5
# Those that the GPU's attention for packed rows computes in.
PACKED_PRECISIONS = ("bfloat16", "float16")


def load_engine(  # noqa: PLR0913
    folder: Path,
    settings: ModelSettings,
    checkpoint: Checkpoint,
    device: Device,
    precision: str,
    *,
    packed: bool | None = None,
) -> Engine:
    """Load the checkpoint into the engine that was chosen for it; on a GPU that is always PyTorch.

    Args:
        folder: the checkpoint's files on this machine.
        settings: under which rules of trust it is loaded.
        checkpoint: as examined.
        device: `cpu` or `cuda`.
        precision: as in `model.precision`.
        packed: whether rows are to be packed on a GPU; None: where it gets them right.

    Raises:
        CheckpointError: rows are to be packed, and this GPU does not get them right.
        SettingsError: OpenVINO was chosen and is not installed on this machine.
    """
    if checkpoint.engine == "openvino" and device == "cpu":
        return _openvino(source_of(folder, settings, checkpoint), checkpoint.fingerprint, precision)
    model = loading.load_model(folder, settings, precision)
    if device != "cpu" and packed is not False and packs_here(model, checkpoint, device):
        return PackedEngine(model, checkpoint.inputs, device)
    if packed:
        raise CheckpointError(
            f"model.name: {settings.name!r}: this GPU can't compute packed rows, as was planned on another; "
            "use GPUs of one kind"
        )
    if checkpoint.first_token_alone:
        _narrow_last_layer(model, checkpoint.inputs, checkpoint.probe)
    return TorchEngine(model, checkpoint.inputs, device, keeps_state=checkpoint.keeps_state)


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
        _narrow_last_layer(model, *narrowed_by)
    return model


def _narrow_last_layer(model: Any, inputs: Sequence[str], probe: Sequence[int]) -> None:
    engine = TorchEngine(model, inputs, "cpu")
    for_first_token(model, lambda: engine.check(probe))


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

    engine = TorchEngine(model, source.inputs, "cpu", keeps_state=True)
    path = openvino_engine.converted(source, fingerprint)
    known: dict[tuple[bytes, bytes], Floats] = {}

    def alone(ids: Ids, kinds: Ids) -> Floats:
        # The same few rows come in many batches.
        key = ids.tobytes(), kinds.tobytes()
        if key not in known:
            known[key] = engine.logits([ids], [kinds])
        return known[key]

    trials = source.trials()
    for batch in trials:
        try:
            engine.logits(*batch)
        except Exception as error:  # noqa: BLE001 - a model's own code may raise anything
            return f"its code refuses some batches ({type(error).__name__}), which a conversion would not"
    # An actor has one thread by default; whoever scores in a process of their own may have all.
    for threads in sorted({1, torch.get_num_threads()}):
        found = answers_of_child(path, source, threads)
        for batch, answer in zip(trials, found, strict=True):
            if not len(answer):
                continue
            expected = np.concatenate([alone(*row) for row in zip(*batch, strict=True)])
            if not same(answer, expected, _TOLERANCE):
                return f"its logits are {np.abs(answer - expected).max():.1g} off"
    return ""
