"""The Ray that the job runs on: one that is already there, or one of its own for as long as it runs."""

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import ray

from pipeline_lib.errors import FaultError, NightscoreError

# What Ray would print and this job has better words for, or no use for.
_QUIET = {
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    # The level at which Ray's C++ parts write into our terminal; what fails there reaches us as an exception.
    "RAY_BACKEND_LOG_LEVEL": "fatal",
}


@contextlib.contextmanager
def connected() -> Iterator[tuple[float, float]]:
    """Connect to a running cluster, or start Ray here and stop it afterwards; yield its CPUs and GPUs.

    A cluster is taken when `RAY_ADDRESS` names one, when the program runs as a Ray job, or when `ray start` was
    run on this machine.

    Raises:
        FaultError: `RAY_ADDRESS` names a cluster that does not answer.
    """
    ours = not ray.is_initialized()
    if ours:
        _connect()
    _hush()
    try:
        total = ray.cluster_resources()
        yield total.get("CPU", 0.0), total.get("GPU", 0.0)
    finally:
        if ours:
            ray.shutdown()


def _connect() -> None:
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    # Workers on other machines get this very package, whatever is installed there.
    code = {"py_modules": [str(Path(__file__).parent)]}
    try:
        ray.init("auto", runtime_env=code, log_to_driver=False, logging_level=logging.ERROR)
    except ConnectionError as error:
        if os.environ.get("RAY_ADDRESS", "local") not in ("local", "auto", ""):
            raise FaultError(f"RAY_ADDRESS={os.environ['RAY_ADDRESS']!r}: no Ray answers there") from error
        ray.init("local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)


def _hush() -> None:
    from ray.data import DataContext

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.raise_original_map_exception = True  # else ours would arrive as text inside one of Ray's


@contextlib.contextmanager
def failures_explained() -> Iterator[None]:
    """Turn Ray's long error into the one of ours inside it, or into one line that says what failed.

    Raises:
        NightscoreError: always, when the block raises anything of Ray's.
    """
    try:
        yield
    except NightscoreError:
        raise
    except ray.exceptions.RayError as error:
        cause: BaseException | None = error
        seen: list[BaseException] = []
        while cause is not None and cause not in seen:
            seen.append(cause)
            if isinstance(cause, NightscoreError):
                raise type(cause)(str(cause.args[0] if cause.args else cause)) from error
            cause = getattr(cause, "cause", None) or cause.__cause__
        last = next((line for line in reversed(str(seen[-1]).splitlines()) if line.strip()), "")
        raise FaultError(f"a worker failed: {type(seen[-1]).__name__}: {last.strip():.300}") from error
