"""Load a checkpoint into the engine that was chosen for it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline_lib.checkpoints import loading
from pipeline_lib.checkpoints.checkpoint import Checkpoint, TokenizedTexts
from pipeline_lib.engines.cls_pooling import skip_other_tokens
from pipeline_lib.engines.computation import Computation
from pipeline_lib.engines.embedding import add_embedding
from pipeline_lib.engines.engine import Engine
from pipeline_lib.engines.inspection.packing_check import refuse_wrong_packing
from pipeline_lib.engines.openvino import openvino_engine
from pipeline_lib.engines.openvino.availability import refuse_inability, way_out
from pipeline_lib.engines.openvino.conversion import ConversionError, Source
from pipeline_lib.engines.openvino.openvino_engine import OpenVinoEngine
from pipeline_lib.engines.packed.packed_engine import PackedEngine
from pipeline_lib.engines.torch_engine import TorchEngine
from pipeline_lib.errors import FaultError
from pipeline_lib.settings.sections.model import ModelSettings


def load_engine(folder: Path, settings: ModelSettings, checkpoint: Checkpoint, computation: Computation) -> Engine:
    """Load a checkpoint into the engine that was planned for it.

    Args:
        folder: the checkpoint's files on this machine.
        settings: has the precision, and the rules of trust for loading.
        checkpoint: as inspected.
        computation: names the engine, the device and the layout of batches.

    Raises:
        CheckpointError: rows are to be packed, and this GPU computes packed rows wrongly.
        FaultError: OpenVINO can't run the model on this machine, though it could where the run was planned.
        SettingsError: OpenVINO was chosen, and is not on this machine or can't compute in the precision there.
    """
    if computation.engine == "openvino":
        return _load_openvino(folder, settings, checkpoint)
    model = loading.load_model(folder, settings, settings.precision)
    add_embedding(model, checkpoint.embedding)
    if computation.layout == "packed":
        refuse_wrong_packing(model, settings, checkpoint, computation.device)
        return PackedEngine(model, checkpoint.inputs, computation.device)
    if checkpoint.cls_pooling:
        _skip_other_tokens(model, checkpoint.inputs, checkpoint.probe)
    return TorchEngine(model, checkpoint.inputs, computation.device, is_stateful=checkpoint.is_stateful)


def load_source(source: Source) -> Any:
    """Load the model that OpenVINO converts, in float32."""
    model = loading.load_model(source.folder, source.settings, "float32")
    add_embedding(model, source.embedding)
    if source.cls_pooling:
        _skip_other_tokens(model, source.inputs, source.rows.ids[0])
    return model


def _skip_other_tokens(model: Any, inputs: Sequence[str], probe: Sequence[int]) -> None:
    engine = TorchEngine(model, inputs, "cpu")
    skip_other_tokens(model, lambda: engine.check(probe))


def _load_openvino(folder: Path, settings: ModelSettings, checkpoint: Checkpoint) -> Engine:
    import torch

    refuse_inability(settings.precision)
    source = Source(
        folder=folder,
        settings=settings,
        inputs=checkpoint.inputs,
        pads_safely=checkpoint.pads_safely,
        cls_pooling=checkpoint.cls_pooling,
        rows=checkpoint.probes,
        embedding=checkpoint.embedding,
        calibration=checkpoint.calibration if settings.precision == "int8" else TokenizedTexts(),
    )
    try:
        path = openvino_engine.converted(source, checkpoint.fingerprint)
    except ConversionError as error:
        # It worked where the run was planned; another engine here would mix two kinds of scores.
        other = way_out(settings.precision)
        raise FaultError(
            f"model.engine: openvino can't run {settings.name!r} on this machine: {error}; use {other}"
        ) from None
    return OpenVinoEngine(path, checkpoint.inputs, settings.precision, torch.get_num_threads())
