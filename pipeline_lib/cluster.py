"""The Ray that the job runs on: one that is already there, or one of its own for as long as it runs."""

import contextlib
import logging
import os
import re
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ray

from pipeline_lib import errors
from pipeline_lib.errors import FaultError, LostWorkerError, NightscoreError, SettingsError
from pipeline_lib.reaper import reaped

# What Ray would print and this job has better words for, or no use for.
_QUIET = {
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    # The level at which Ray's C++ parts write into our terminal; what fails there reaches us as an exception.
    "RAY_BACKEND_LOG_LEVEL": "fatal",
}


_SECONDS_TO_ANSWER = 5.0
_SECONDS_BETWEEN_HANDLERS = 0.005


@contextlib.contextmanager
def connected() -> Iterator[tuple[float, float]]:
    """Connect to a running cluster, or start Ray here and stop it afterwards; yield its CPUs and GPUs.

    A cluster is taken when `RAY_ADDRESS` names one, when the program runs as a Ray job, or when `ray start` was
    run on this machine.

    Raises:
        FaultError: `RAY_ADDRESS` names a cluster that does not answer, or Ray does not start here.
        SettingsError: `RAY_ADDRESS` is not the address of a cluster.
    """
    ours = not ray.is_initialized()
    over = threading.Event()
    with reaped():
        try:
            if ours:
                _connect(over)
            _hush()
            total = ray.cluster_resources()
            yield total.get("CPU", 0.0), total.get("GPU", 0.0)
        finally:
            if ours:
                ray.shutdown()
            over.set()


def _connect(over: threading.Event) -> None:
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    address = _running_cluster()
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address:
        # Workers on other machines get this very package, whatever is installed there.
        where: dict[str, Any] = {"address": address, "runtime_env": {"py_modules": [str(Path(__file__).parent)]}}
    else:
        where = {"address": "local", "include_dashboard": False}
    try:
        with _chatter_kept_back():
            _start(lambda: ray.init(**where, **quiet), over)
    except Exception as error:  # a process of Ray's was killed, or the machine is too busy to start it
        raise FaultError(f"Ray did not start: {_last_line(error)}") from error


def _running_cluster() -> str | None:
    """Return the address of the cluster to use, or None where there is none.

    It is tried first: `ray.init` would wait minutes for one that is gone, and a Ray that was killed leaves its
    address behind.
    """
    named = os.environ.get("RAY_ADDRESS", "")
    if named.startswith("http"):
        raise SettingsError(
            f"RAY_ADDRESS={named!r} is the address of a job server; use `ray job submit`, or name host:port"
        )
    if named and named != "auto":
        if named != "local" and not _answers(named):
            raise FaultError(f"RAY_ADDRESS={named!r}: no Ray answers there")
        return None if named == "local" else named
    note = Path(os.environ.get("RAY_TMPDIR", "/tmp"), "ray", "ray_current_cluster")  # noqa: S108 - Ray's own place
    found = note.read_text().strip() if note.is_file() else ""
    return found if found and _answers(found) else None


def _answers(address: str) -> bool:
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=_SECONDS_TO_ANSWER).close()
    except (OSError, ValueError):
        return False
    return True


def _start(init: Callable[[], object], over: threading.Event) -> None:
    """Run `ray.init` in a thread that stays until the event, since Ray's processes end with that thread.

    Meanwhile a SIGTERM still reaches the handler it had: `ray.init` gives it to handlers of its own,
    which end the process with a stack trace of C++.
    """
    ready = threading.Event()
    failures: list[BaseException] = []

    def stay() -> None:
        try:
            init()
        except BaseException as error:  # noqa: BLE001 - raised below
            failures.append(error)
        ready.set()
        over.wait()

    threading.Thread(target=stay, name="ray", daemon=True).start()
    is_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)
    while not ready.wait(_SECONDS_BETWEEN_HANDLERS):
        if is_main:
            signal.signal(signal.SIGTERM, handler)
    if is_main:
        signal.signal(signal.SIGTERM, handler)
    if failures:
        raise failures[0]


@contextlib.contextmanager
def _chatter_kept_back() -> Iterator[None]:
    """Keep what C++ code writes to standard error while Ray starts, and show it only if the start fails."""
    sys.stderr.flush()
    real = os.dup(2)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException:
            kept.seek(0)
            os.write(real, kept.read())
            raise
        finally:
            os.dup2(real, 2)
            os.close(real)


def _hush() -> None:
    from ray.data import DataContext

    # What fails reaches us as an exception, and is told in one line.
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
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
    except ray.exceptions.RayError as error:  # may be one of ours too: Ray makes classes that are both
        chain = _chain(error)
        ours = next((found for found in map(_ours, chain) if found), None)
        if ours:
            raise ours from error
        # What a worker's code raised comes wrapped in a task's error; all others are Ray's own losses.
        kind = FaultError if isinstance(error, ray.exceptions.RayTaskError) else LostWorkerError
        raise kind(f"a worker failed: {type(chain[-1]).__name__}: {_last_line(chain[-1])}") from error


def _last_line(error: BaseException) -> str:
    return next((line for line in reversed(str(error).splitlines()) if line.strip()), "").strip()[:300]


def _chain(error: BaseException) -> list[BaseException]:
    """Return an error and what it came from, the last one first."""
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = getattr(cause, "cause", None) or cause.__cause__ or cause.__context__
    return chain


def _ours(error: BaseException) -> NightscoreError | None:
    """Return the error of ours that one of Ray's is, or only quotes, as it does when an actor can't start."""
    if isinstance(error, NightscoreError) and not isinstance(error, ray.exceptions.RayError):
        return type(error)(str(error.args[0] if error.args else error))
    quoted = re.search(rf"^{errors.__name__}\.(\w+): (.+)$", str(error), re.MULTILINE)
    kind = getattr(errors, quoted[1], None) if quoted else None
    return kind(quoted[2]) if quoted and kind else None
