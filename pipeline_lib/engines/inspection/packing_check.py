"""Whether this machine's GPU answers packed rows of a checkpoint as it answers each alone: tried once, and kept."""

import contextlib
import hashlib
import json
import platform
from pathlib import Path
from typing import Any

import numpy as np

from pipeline_lib.checkpoints import loading
from pipeline_lib.checkpoints.checkpoint import Checkpoint
from pipeline_lib.checkpoints.fetching import locate
from pipeline_lib.engines.inspection.row_independence import logits_alone
from pipeline_lib.engines.packed_engine import why_not_packed
from pipeline_lib.engines.torch_engine import TorchEngine
from pipeline_lib.machine.cache_folders import cache_folder, read_own, write_own
from pipeline_lib.machine.library_versions import library_versions
from pipeline_lib.settings.settings import Settings

_FORM = 1
"""Of what is tried and kept; raised when either changes."""


def packs_here(model: Any, checkpoint: Checkpoint, device: str) -> bool:
    """Tell whether this device, in the model's own precision, gets packed rows right.

    Whether packing is right at all was seen in float32 when the checkpoint was examined. The kernel for packed
    rows is another one: it needs a card and a head size that it knows. Any error or difference means no.

    Args:
        model: in the precision of the run; it is as it was afterwards, on the device.
        checkpoint: as examined.
        device: where the run computes.
    """
    if not checkpoint.packs_safely or str(model.dtype) not in {"torch.bfloat16", "torch.float16"}:
        return False
    path = _record(model, checkpoint, device)
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return bool(json.loads(read_own(path))["packs"]) if path else _try(model, checkpoint, device) is None
    why_not = _try(model, checkpoint, device)
    if path:
        with contextlib.suppress(OSError):
            write_own(path, json.dumps({"packs": why_not is None, "why_not": why_not}).encode())
    return why_not is None


def packs_on_this_gpu(settings: Settings, checkpoint: Checkpoint) -> bool:
    """Tell whether the GPU of this process gets packed rows of a checkpoint right.

    Args:
        settings: the job's settings.
        checkpoint: as examined.
    """
    folder, _ = locate(settings.model, checkpoint.commit)
    return packs_here(loading.load_model(folder, settings.model, settings.model.precision), checkpoint, "cuda")


def _try(model: Any, checkpoint: Checkpoint, device: str) -> str | None:
    short, long = (np.array(ids, np.int32) for ids in (checkpoint.probe, checkpoint.long_probe))
    middle = long[: len(long) * 2 // 3 | 1]
    rows = [short, long, middle, short]
    alone = logits_alone(TorchEngine(model, checkpoint.inputs, device), rows, [np.zeros_like(row) for row in rows])
    return why_not_packed(model, checkpoint.inputs, alone, device)


def _record(model: Any, checkpoint: Checkpoint, device: str) -> Path | None:
    """Return the file that says what was seen on a device of this kind; None where no file can be kept."""
    key = repr((_FORM, checkpoint.fingerprint, checkpoint.long_probe, str(model.dtype), _kind_of(device)))
    name = hashlib.sha256((key + repr(library_versions())).encode()).hexdigest()[:32]
    try:
        return cache_folder("packed") / f"{name}.json"
    except OSError:
        return None


def _kind_of(device: str) -> str:
    import torch

    if device == "cpu":
        return platform.machine()
    return f"{torch.cuda.get_device_name(device)} {torch.cuda.get_device_capability(device)}"
