"""The model converted to OpenVINO, whose kernels are the fastest on many CPUs."""

import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from pipeline_lib.caches import cache_folder
from pipeline_lib.checkpoint import hash_of
from pipeline_lib.engine import Engine, Floats, Ids, no_cache

PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}
_FORM = "2"
"""Of what is converted; another one is another folder."""


class OpenVinoEngine(Engine):
    """A converted model, run by OpenVINO on CPUs.

    Args:
        path: of the converted model, from `converted`.
        inputs: the inputs that the checkpoint's tokenizer gives its model (`model_input_names`).
        pad: the id that fills short rows.
        precision: a key of `PRECISIONS`.
        threads: CPU threads to compute with.
    """

    def __init__(self, path: Path, inputs: Sequence[str], pad: int, precision: str, threads: int) -> None:
        import openvino

        super().__init__(inputs)
        options = {
            "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            # Pinned, the actors of a machine would all sit on its first core.
            "ENABLE_CPU_PINNING": False,
        }
        self._compute: Any = openvino.Core().compile_model(path, "CPU", options)
        self._pad = pad
        self.is_full_precision = precision == "float32"

    def logits(self, rows: Sequence[Ids], types: Sequence[Ids]) -> Floats:
        """Return logits of shape [rows, labels] in float32; see `Engine`."""
        batch = self._padded(rows, types, self._pad)
        found = self._compute(list(batch.values()), share_inputs=True)[0]
        return np.array(found, np.float32).reshape(len(rows), -1)


def is_installed() -> bool:
    """Tell whether OpenVINO is here; it is an extra."""
    return importlib.util.find_spec("openvino") is not None


def is_worthwhile() -> bool:
    """Tell whether this processor's cores do more with OpenVINO than with PyTorch.

    PyTorch computes with Intel's MKL, which gives other makers' processors less than half of what they can do; on
    Intel's both are as fast, and PyTorch starts seconds sooner.
    """
    cpus = Path("/proc/cpuinfo")
    return cpus.is_file() and "AuthenticAMD" in cpus.read_text(errors="replace")


def converted(load: Callable[[], Any], inputs: Sequence[str], fingerprint: str) -> tuple[Path, int]:
    """Return the path of the converted model on this machine, made at the first call, and its padding id.

    Args:
        load: returns the model in float32; not called if there is nothing to do.
        inputs: the inputs that the checkpoint's tokenizer gives its model.
        fingerprint: the checkpoint's.
    """
    versions = "-".join([*(version(name) for name in ("openvino", "torch", "transformers")), _FORM])
    folder = cache_folder("openvino", versions)
    path = folder / fingerprint / "model.xml"
    with FileLock(folder / f"{fingerprint}.lock"):
        if not _is_whole(path):
            _convert(load(), inputs, path)
            path.with_suffix(".sha256").write_text(_hash_of_converted(path))
    return path, int(path.with_suffix(".pad").read_text())


def _is_whole(path: Path) -> bool:
    """Tell whether the converted model's files are those that were written when it was converted."""
    try:
        return path.with_suffix(".sha256").read_text() == _hash_of_converted(path)
    except OSError:
        return False


def _hash_of_converted(path: Path) -> str:
    return " ".join(hash_of(path.with_suffix(ending)) for ending in (".xml", ".bin", ".pad"))


def _convert(model: Any, inputs: Sequence[str], path: Path) -> None:
    # The converter would tell its makers of each use over the network; without this package it does not.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino
    import torch

    class Logits(torch.nn.Module):
        """The model with positional inputs and one output, as the converter wants it."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *tensors: torch.Tensor) -> Any:
            return self.model(**dict(zip(names, tensors, strict=True)), **no_cache(model)).logits

    # Two rows, one of them padded, so that no shape and no mask is taken for a constant.
    ids = torch.arange(5, 21).reshape(2, 8)
    mask = torch.ones_like(ids)
    mask[0, 5:] = 0
    example = {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}
    names = [name for name in example if name in {"input_ids", *inputs}]
    with torch.no_grad():
        found = openvino.convert_model(Logits().eval(), example_input=tuple(example[name] for name in names))
    part = path.with_name("part.xml")
    openvino.save_model(found, part, compress_to_fp16=False)
    # Models without a padding id look for none, so any will do.
    path.with_suffix(".pad").write_text(str(model.config.get_text_config().pad_token_id or 0))
    part.with_suffix(".bin").rename(path.with_suffix(".bin"))
    part.rename(path)
