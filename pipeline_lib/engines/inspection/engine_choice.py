"""Choose the engine on CPUs: the one that the settings ask for, or the better one on this machine."""

from dataclasses import replace
from typing import Any

import numpy as np

from pipeline_lib.checkpoints.checkpoint import TokenizedTexts
from pipeline_lib.engines.embedding import width_of
from pipeline_lib.engines.engine import Floats, Ids, are_close
from pipeline_lib.engines.openvino import availability, openvino_engine
from pipeline_lib.engines.openvino.conversion import Source, answers_of_child
from pipeline_lib.engines.torch_engine import TorchEngine
from pipeline_lib.errors import CheckpointError
from pipeline_lib.settings.sections.model import ModelSettings

LOGITS_TOLERANCE = 2e-5
"""What another order of summing changes in float32, and no more; a wrong computation is off by far more."""


def may_take_openvino(settings: ModelSettings) -> bool:
    """Tell whether `model.engine: auto` would take OpenVINO on this machine, for a model that it can run.

    Int8 is no matter of choice: no other engine computes it.
    """
    return (
        settings.engine == "auto"
        and settings.precision in availability.PRECISIONS
        and settings.precision != "int8"
        and availability.auto_engine() == "openvino"
        and availability.is_installed()
        and availability.computes(settings.precision)
    )


def choose_cpu_engine(settings: ModelSettings, model: Any, source: Source, fingerprint: str) -> str:
    """Return the name of the engine that the settings ask for, or of the better one on this machine.

    Args:
        settings: has the engine and the precision.
        model: in float32.
        source: what OpenVINO converts, with the rows that it must answer as PyTorch does.
        fingerprint: the checkpoint's.

    Raises:
        SettingsError: OpenVINO or int8 is asked for, and OpenVINO is not installed or can't compute it here.
        CheckpointError: OpenVINO or int8 is asked for, and OpenVINO can't run this model.
    """
    must = settings.engine == "openvino" or settings.precision == "int8"
    if not must and not may_take_openvino(settings):
        return "torch"
    availability.refuse_inability(settings.precision)
    why_not = _why_not_asked_for(settings, model) or _why_not_converted(model, source, fingerprint)
    if why_not and must:
        other = availability.way_out(settings.precision)
        raise CheckpointError(f"model.engine: openvino can't run {settings.name!r}: {why_not}; use {other}")
    return "torch" if why_not else "openvino"


def _why_not_asked_for(settings: ModelSettings, model: Any) -> str:
    """Return why OpenVINO must be asked for by name, or an empty string."""
    # A conversion fixes for good each choice that a checkpoint's own code makes after it has seen a text.
    if settings.engine == "openvino" or type(model).__module__.startswith("transformers."):
        return ""
    return "it has code of its own, which a conversion may not keep; if it does, set model.engine: openvino"


def _why_not_converted(model: Any, source: Source, fingerprint: str) -> str:
    """Return why the converted model can't be used, or an empty string; it is converted if it is not yet."""
    try:
        why_not = _why_not_openvino(model, replace(source, calibration=TokenizedTexts()), fingerprint)
        if not why_not and len(source.calibration):
            openvino_engine.converted(source, fingerprint)
    except Exception as error:  # noqa: BLE001 - a conversion may fail in any way
        return " ".join(str(error).split())[:200]
    return why_not


def _why_not_openvino(model: Any, source: Source, fingerprint: str) -> str:
    """Return how OpenVINO's logits differ from PyTorch's, or an empty string."""
    import torch

    engine = TorchEngine(model, source.inputs, "cpu", is_stateful=True)
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
    # An actor computes with one thread by default, a `Scorer` with all: both are tried.
    for answers in answers_of_child(path, source, sorted({1, torch.get_num_threads()})):
        for batch, answer in zip(trials, answers, strict=True):
            if not len(answer):
                continue
            expected = np.concatenate([alone(*row) for row in zip(*batch, strict=True)])
            if not are_close(answer, expected, LOGITS_TOLERANCE, width_of(model)):
                what = "answers" if width_of(model) else "logits"
                return f"its {what} are {np.abs(answer - expected).max():.1g} off"
    return ""
