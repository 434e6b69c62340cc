"""What OpenVINO can do on this machine: whether it is there, and which precisions the processor computes."""

import importlib.util
import os
import sys
from typing import Any

from pipeline_lib.errors import SettingsError, did_you_mean, listed
from pipeline_lib.machine.processor import processor

PRECISIONS = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}
"""Precisions, and the numbers in which OpenVINO computes all that is not quantized.

With int8 these are float32, since bfloat16 gains a tenth and not every processor with int8 has it.
"""
AUTO_ENGINE = "NIGHTSCORE_AUTO_ENGINE"
"""Environment variable that says what `model.engine: auto` takes, in place of the processor's maker."""
INT8 = "NIGHTSCORE_INT8"
"""Environment variable that says whether int8 is computed here, in place of the processor's instructions."""

_AUTO = ("torch", "openvino", "absent")
_INT8 = ("present", "absent")
# Without one of these, sums of products of int8 are kept in 16 bits, which they exceed: the answers are wrong.
_INT8_INSTRUCTIONS = {"avx512_vnni", "avx_vnni", "amx_int8"}
_NO_BFLOAT16 = (
    "model.engine: openvino computes bfloat16 only on processors that have instructions for it, and this one has "
    "none: set model.engine: torch, or model.precision: float32"
)
_NO_INT8 = (
    "model.precision: int8 is computed only on processors that have instructions for it (VNNI), and this one has "
    "none: set model.precision: bfloat16 or float32"
)


def library() -> Any:
    """Import OpenVINO without its telemetry, which reports each use to its makers and leaves an id in the home."""
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment] # as if it were not installed
    import openvino

    return openvino


def is_installed() -> bool:
    """Tell whether OpenVINO is installed; there is none for some kinds of processors."""
    return auto_engine() != "absent" and importlib.util.find_spec("openvino") is not None


def refuse_inability(precision: str) -> None:
    """Check that OpenVINO computes in a precision on this machine.

    Raises:
        SettingsError: it is not installed, or it or the processor can't compute in the precision.
    """
    if precision not in PRECISIONS:
        *known, last = PRECISIONS
        raise SettingsError(f"model.engine: openvino computes in {', '.join(known)} and {last}, not in {precision}")
    if not is_installed():
        needed = "nightscore[int8]" if precision == "int8" else "openvino"
        raise SettingsError(f"model.engine: OpenVINO is not installed here; pip install '{needed}'")
    if not computes(precision):
        raise SettingsError(_NO_INT8 if precision == "int8" else _NO_BFLOAT16)
    if precision == "int8" and importlib.util.find_spec("nncf") is None:
        raise SettingsError("model.precision: int8 needs the package nncf; pip install 'nightscore[int8]'")


def way_out(precision: str) -> str:
    """Return what a user can ask for, in words, where OpenVINO can't run a model: int8 has no other engine."""
    return "another model.precision" if precision == "int8" else "torch"


def computes(precision: str) -> bool:
    """Tell whether OpenVINO computes in a precision on this processor as it should.

    It takes bfloat16 as a hint: on processors without instructions for it, it computes in float32 and says nothing.
    The result would then be called bfloat16 and be another than on the next machine. Int8 it computes everywhere,
    but wrongly without instructions for it.

    Raises:
        SettingsError: the environment answers for int8, and with another word than the two that are known.
    """
    if precision == "int8":
        return _has_int8()
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
    named = _from_environment(AUTO_ENGINE, _AUTO)
    if named is not None:
        return named
    here = processor()
    return "openvino" if here.maker == "AuthenticAMD" and "avx512f" in here.instructions else "torch"


def _has_int8() -> bool:
    named = _from_environment(INT8, _INT8)
    return bool(_INT8_INSTRUCTIONS & processor().instructions) if named is None else named == "present"


def _from_environment(name: str, allowed: tuple[str, ...]) -> str | None:
    value = os.environ.get(name)
    if value is not None and value not in allowed:
        raise SettingsError(f"{name}={value!r}: allowed are {listed(allowed)}{did_you_mean(value, allowed)}")
    return value
