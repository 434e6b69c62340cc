"""The model converted to OpenVINO, whose kernels are the fastest on many CPUs."""

import hashlib
import importlib.util
import os
import shutil
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from pipeline_lib.checkpoints.checkpoint import hash_of
from pipeline_lib.engines.engine import Engine, Floats, Ids
from pipeline_lib.engines.openvino.conversion import Source, convert_in_child
from pipeline_lib.errors import SettingsError, did_you_mean, listed
from pipeline_lib.machine.cache_folders import cache_folder

PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}
NO_BFLOAT16 = (
    "model.engine: openvino computes bfloat16 only on processors that have instructions for it, and this one has "
    "none: set model.engine: torch, or model.precision: float32"
)
AUTO_ENGINE = "NIGHTSCORE_AUTO_ENGINE"
"""Environment variable that says what `model.engine: auto` takes, in place of the processor's maker."""

_AUTO = ("torch", "openvino", "absent")
_FORMAT = "3"
"""Of converted models; part of the name of their folder."""


class OpenVinoEngine(Engine):
    """A converted model, run by OpenVINO on CPUs.

    Args:
        path: of the converted model, from `converted`.
        inputs: the inputs that the checkpoint's tokenizer gives its model (`model_input_names`).
        precision: a key of `PRECISIONS`.
        threads: CPU threads to compute with.

    Raises:
        SettingsError: this processor has no bfloat16, unlike the one where the engine was chosen.
    """

    def __init__(self, path: Path, inputs: Sequence[str], precision: str, threads: int) -> None:
        super().__init__(inputs)
        options = {
            "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            # With pinning, all actors of a machine would run on its first core.
            "ENABLE_CPU_PINNING": False,
        }
        if not computes(precision):
            raise SettingsError(NO_BFLOAT16)
        self._compute: Any = library().Core().compile_model(path, "CPU", options)
        self._pad = int(path.with_suffix(".pad").read_text())
        self.is_full_precision = precision == "float32"

    def logits(self, rows: Sequence[Ids], types: Sequence[Ids]) -> Floats:
        """Return logits of shape [rows, labels] in float32; see `Engine`."""
        batch = self.padded(rows, types, self._pad)
        logits = self._compute(list(batch.values()), share_inputs=True)[0]
        return np.array(logits, np.float32).reshape(len(rows), -1)


def library() -> Any:
    """Import OpenVINO without its telemetry, which reports each use to its makers and leaves an id in the home."""
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment] # as if it were not installed
    import openvino

    return openvino


def is_installed() -> bool:
    """Tell whether OpenVINO is installed; there is none for some kinds of processors."""
    return auto_engine() != "absent" and importlib.util.find_spec("openvino") is not None


def refuse_absence() -> None:
    """Check that OpenVINO is installed.

    Raises:
        SettingsError: it is not.
    """
    if not is_installed():
        raise SettingsError("model.engine: OpenVINO is not installed here; pip install openvino")


def computes(precision: str) -> bool:
    """Tell whether OpenVINO computes in a precision on this processor.

    It takes bfloat16 as a hint: on processors without instructions for it, it computes in float32 and says nothing.
    The result would then be called bfloat16 and be another than on the next machine.
    """
    if precision == "float32":
        return True
    return precision in PRECISIONS and "BF16" in library().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def auto_engine() -> str:
    """Return the engine that `model.engine: auto` prefers on this machine: `torch`, `openvino`, or `absent`.

    The environment can name it, for tests and for machines of several kinds that must choose alike. Else it is the
    one that is faster on this processor: PyTorch computes with Intel's MKL, which makes little use of AVX-512 on
    AMD's processors. On others both are about as fast, and PyTorch starts seconds sooner.

    Raises:
        SettingsError: the environment names something else.
    """
    named = os.environ.get(AUTO_ENGINE)
    if named is None:
        cpus = Path("/proc/cpuinfo")
        about = cpus.read_text(errors="replace") if cpus.is_file() else ""
        return "openvino" if "AuthenticAMD" in about and "avx512f" in about else "torch"
    if named not in _AUTO:
        raise SettingsError(f"{AUTO_ENGINE}={named!r}: allowed are {listed(_AUTO)}{did_you_mean(named, _AUTO)}")
    return named


def converted(source: Source, fingerprint: str) -> Path:
    """Return the path of the converted model on this machine; it is made at the first call, in a child process.

    Args:
        source: what is converted, and the rows that it is traced with.
        fingerprint: the checkpoint's.

    Raises:
        ConversionError: the conversion failed, or its process died.
    """
    versions = "-".join([*(version(name) for name in ("openvino", "torch", "transformers")), _FORMAT])
    folder = cache_folder("openvino", versions)
    key = hashlib.sha256(repr((fingerprint, source.decisive)).encode()).hexdigest()[:32]
    path = folder / key / "model.xml"
    with FileLock(folder / f"{key}.lock"):
        if not _is_whole(path):
            shutil.rmtree(path.parent, ignore_errors=True)
            convert_in_child(source, path.parent)
            path.with_suffix(".sha256").write_text(_hash_of_converted(path))
    return path


def _is_whole(path: Path) -> bool:
    """Tell whether the converted model's files are those that were written when it was converted."""
    try:
        return path.with_suffix(".sha256").read_text() == _hash_of_converted(path)
    except OSError:
        return False


def _hash_of_converted(path: Path) -> str:
    return " ".join(hash_of(path.with_suffix(ending)) for ending in (".xml", ".bin", ".pad"))
