"""Whether packed rows get the answers that each gets alone: in float32, and once on each kind of GPU."""

import contextlib
import hashlib
import json
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pipeline_lib.checkpoints import loading
from pipeline_lib.checkpoints.checkpoint import Checkpoint, TokenizedTexts
from pipeline_lib.checkpoints.fetching import locate
from pipeline_lib.engines.embedding import add_embedding, width_of
from pipeline_lib.engines.engine import largest_difference
from pipeline_lib.engines.inspection.probe_answers import AnsweredTexts, answers_alone
from pipeline_lib.engines.packed.packed_engine import PackedEngine
from pipeline_lib.engines.torch_engine import TorchEngine
from pipeline_lib.errors import CheckpointError
from pipeline_lib.machine.cache_folders import cache_folder, read_own, write_own
from pipeline_lib.machine.library_versions import library_versions
from pipeline_lib.settings.sections.model import ModelSettings
from pipeline_lib.settings.settings import Settings

_FORMAT = 2
"""Of what is tried and kept; raised when either changes."""
_FLOAT32_TOLERANCE = 1e-4


def packs_on_this_gpu(settings: Settings, checkpoint: Checkpoint) -> bool:
    """Tell whether the GPU of this process computes packed rows of a checkpoint rightly.

    Args:
        settings: the job's settings.
        checkpoint: as inspected.
    """

    def load() -> Any:
        folder, _ = locate(settings.model, checkpoint.commit)
        model = loading.load_model(folder, settings.model, settings.model.precision)
        add_embedding(model, checkpoint.embedding)
        return model

    return packs_on(load, settings.model, checkpoint, "cuda")


def refuse_wrong_packing(model: Any, settings: ModelSettings, checkpoint: Checkpoint, device: str) -> None:
    """Check that this GPU computes packed rows as rightly as the one that the run was planned on.

    Raises:
        CheckpointError: it does not.
    """
    if not packs_on(lambda: model, settings, checkpoint, device):
        raise CheckpointError(
            f"model.name: {settings.name!r}: this GPU can't compute packed rows, as was planned on another; "
            "use GPUs of one kind"
        )


def packs_on(load: Callable[[], Any], settings: ModelSettings, checkpoint: Checkpoint, device: str) -> bool:
    """Tell whether a device, in the precision of the run, computes packed rows rightly.

    Whether packing is right at all was tried in float32 when the checkpoint was inspected. The kernel for packed
    rows is another one: it needs a card and a head size that it knows. Any error or difference means no. The result
    is kept on this machine for each kind of device.

    Args:
        load: returns the model in the precision of the run; it is as it was afterwards, on the device.
        settings: has the precision.
        checkpoint: as inspected.
        device: where the run computes.
    """
    if not checkpoint.packs_safely or settings.precision == "float32":
        return False
    path = _record_path(settings, checkpoint, device)
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        if path:
            return bool(json.loads(read_own(path))["packs"])
    why_not = _why_not_here(load(), checkpoint, device)
    if path:
        with contextlib.suppress(OSError):
            write_own(path, json.dumps({"packs": why_not is None, "why_not": why_not}).encode())
    return why_not is None


def why_not_packed(model: Any, inputs: tuple[str, ...], alone: AnsweredTexts, device: str) -> str | None:
    """Return why packed rows don't get the answers that each gets alone; None if they do.

    Args:
        model: in the precision that it will run in; it is as it was afterwards, on the device.
        inputs: the inputs that the checkpoint's tokenizer gives its model.
        alone: texts, some as long as the longest that will come, and the logits that the same model gives each
            alone on the same device.
        device: where to compute, such as `cuda`.
    """
    before = model.config._attn_implementation  # noqa: SLF001 - transformers has no other name for it
    rows, type_ids = alone.texts.arrays()
    try:
        engine = PackedEngine(model, inputs, device)
        forward = engine.logits(rows, type_ids)
        backward = engine.logits(rows[::-1], type_ids[::-1])[::-1]
    except Exception as error:  # noqa: BLE001 - an architecture, a kernel or a card may refuse in any way
        return f"{type(error).__name__}: {' '.join(str(error).split()):.200}"
    finally:
        model.set_attn_implementation(before)
    width, tolerance = width_of(model), _tolerance(str(model.dtype))
    worst = float(np.max([largest_difference(each, alone.logits, width) for each in (forward, backward)]))
    return None if worst <= tolerance else f"its {'answers' if width else 'logits'} are {worst:.1g} off"


def _tolerance(dtype: str) -> float:
    """Return how far packed logits may be off for the order of summing alone, relative where they are above 1.

    Half precision keeps 8 (bfloat16) or 11 (float16) bits of each number, and rounds after every layer. The check
    is for a kernel that refuses or computes something else; that packing itself is right was shown in float32.
    """
    steps = {"torch.bfloat16": 2.0**-8, "torch.float16": 2.0**-11}
    return 16 * steps[dtype] if dtype in steps else _FLOAT32_TOLERANCE


def _why_not_here(model: Any, checkpoint: Checkpoint, device: str) -> str | None:
    if str(model.dtype) not in {"torch.bfloat16", "torch.float16"}:
        return f"its weights are in {model.dtype}"
    short, long = (np.array(ids, np.int32) for ids in (checkpoint.probe, checkpoint.long_probe))
    middle = long[: len(long) * 2 // 3 | 1]
    texts = TokenizedTexts.of((row, np.zeros_like(row)) for row in (short, long, middle, short))
    alone = answers_alone(TorchEngine(model, checkpoint.inputs, device), texts)
    return why_not_packed(model, checkpoint.inputs, alone, device)


def _record_path(settings: ModelSettings, checkpoint: Checkpoint, device: str) -> Path | None:
    """Return the file that keeps the result for devices of this kind; None where no file can be kept."""
    decisive = (checkpoint.fingerprint, checkpoint.long_probe, settings.precision, _kind_of(device))
    embedding = () if checkpoint.embedding == "none" else (checkpoint.embedding,)
    key = repr((_FORMAT, *decisive, *embedding)) + repr(library_versions())
    try:
        return cache_folder("packed") / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
    except OSError:
        return None


def _kind_of(device: str) -> str:
    import torch

    if device == "cpu":
        return platform.machine()
    return f"{torch.cuda.get_device_name(device)} {torch.cuda.get_device_capability(device)}"
