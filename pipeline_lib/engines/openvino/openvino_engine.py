"""The model converted to OpenVINO, whose kernels are the fastest on many CPUs."""

import hashlib
import shutil
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from pipeline_lib.checkpoints.checkpoint import hash_of
from pipeline_lib.engines.engine import Engine, Floats, Ids
from pipeline_lib.engines.openvino.availability import PRECISIONS, library, refuse_inability
from pipeline_lib.engines.openvino.conversion import Source, convert_in_child
from pipeline_lib.machine.cache_folders import cache_folder

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
        SettingsError: this processor lacks the precision, unlike the one where the engine was chosen.
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
        refuse_inability(precision)
        self._compute: Any = library().Core().compile_model(path, "CPU", options)
        self._pad = int(path.with_suffix(".pad").read_text())
        self.is_full_precision = precision == "float32"

    def logits(self, rows: Sequence[Ids], types: Sequence[Ids]) -> Floats:
        """Return logits of shape [rows, labels] in float32; see `Engine`."""
        batch = self.padded(rows, types, self._pad)
        logits = self._compute(list(batch.values()), share_inputs=True)[0]
        return np.array(logits, np.float32).reshape(len(rows), -1)


def converted(source: Source, fingerprint: str) -> Path:
    """Return the path of the converted model on this machine; it is made at the first call, in a child process.

    Args:
        source: what is converted, and the rows that it is traced with.
        fingerprint: the checkpoint's.

    Raises:
        ConversionError: the conversion failed, or its process died.
    """
    libraries = ("openvino", "torch", "transformers", *(["nncf"] if len(source.calibration) else []))
    versions = "-".join([*map(version, libraries), _FORMAT])
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
