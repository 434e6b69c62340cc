"""The Ray that the job runs on: one that is already there, or one of its own for as long as it runs."""

import contextlib
import ctypes
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
from typing import Any, TypeVar

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
_SECONDS_TO_SETTLE = 60.0

_T = TypeVar("_T")


@contextlib.contextmanager
def connected(meanwhile: Callable[[], _T]) -> Iterator[_T]:
    """Connect to a running cluster, or start Ray here and stop it afterwards; yield what was done meanwhile.

    A cluster is taken when `RAY_ADDRESS` names one, when the program runs as a Ray job, or when `ray start` was
    run on this machine.

    Args:
        meanwhile: called while Ray starts; what it raises is raised.

    Raises:
        FaultError: `RAY_ADDRESS` names a cluster that does not answer, or Ray does not start here.
        SettingsError: `RAY_ADDRESS` is not the address of a cluster.
    """
    if ray.is_initialized():  # by whoever calls us, or by a block around this one
        _hush()
        yield meanwhile()
        return
    over = threading.Event()
    with reaped() as end_all:
        start = _Start(_how_to_start(), over)
        started = False
        try:
            found = meanwhile()
            start.wait()
            started = True  # else something of it may still be on its way
            _hush()
            yield found
        finally:
            start.settle()
            ray.shutdown()
            over.set()
            if not started:
                end_all()


def resources() -> tuple[float, float]:
    """Return the CPUs and GPUs of the cluster that this process is connected to."""
    total = ray.cluster_resources()
    return total.get("CPU", 0.0), total.get("GPU", 0.0)


def _how_to_start() -> dict[str, Any]:
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    address = running_cluster()
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address:
        # Workers on other machines get this very package, whatever is installed there.
        return quiet | {"address": address, "runtime_env": {"py_modules": [str(Path(__file__).parent)]}}
    return quiet | {"address": "local", "include_dashboard": False}


def running_cluster() -> str | None:
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


class _Start:
    """A start of Ray beside other work.

    `ray.init` runs in a thread that stays until the event, since Ray's processes end with that thread. Meanwhile a
    second one keeps SIGTERM with the handler that it has: `ray.init` gives it to handlers of its own, which end the
    process with a stack trace of C++.

    Args:
        options: of `ray.init`.
        over: set when Ray is no longer needed.
    """

    def __init__(self, options: dict[str, Any], over: threading.Event) -> None:
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._chatter = _Chatter()
        self._guard = threading.Thread(target=self._keep_handler, name="sigterm", daemon=True)
        self._guard.start()
        threading.Thread(target=self._init, args=(options, over), name="ray", daemon=True).start()

    def _init(self, options: dict[str, Any], over: threading.Event) -> None:
        try:
            ray.init(**options)
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            self._failure = error
        self._ready.set()
        over.wait()

    def _keep_handler(self) -> None:
        python = ctypes.pythonapi  # `signal.signal` works in the main thread alone, which has other work
        python.PyOS_getsig.restype = ctypes.c_void_p
        python.PyOS_setsig.argtypes = [ctypes.c_int, ctypes.c_void_p]
        handler = python.PyOS_getsig(signal.SIGTERM)
        is_ready = False
        while not is_ready:
            is_ready = self._ready.wait(_SECONDS_BETWEEN_HANDLERS)
            python.PyOS_setsig(signal.SIGTERM, handler)

    def wait(self) -> None:
        """Wait until Ray is there.

        Raises:
            FaultError: a process of Ray's was killed, or the machine is too busy to start it.
        """
        self._guard.join()
        self._chatter.let_go(show=self._failure is not None)
        if self._failure:
            raise FaultError(f"Ray did not start: {_last_line(self._failure)}") from self._failure

    def settle(self) -> None:
        """Let a start that nobody waited for come to its end: Ray ends in order only once it is there.

        Killed while it connects, it would hold the interpreter for a minute.
        """
        self._guard.join(_SECONDS_TO_SETTLE)
        self._chatter.let_go(show=False)


class _Chatter:
    """Keeps back what C++ code writes to standard error while Ray starts."""

    def __init__(self) -> None:
        sys.stderr.flush()
        self._real: int | None = os.dup(2)
        self._kept = tempfile.TemporaryFile()  # noqa: SIM115 - open until it is let go
        os.dup2(self._kept.fileno(), 2)

    def let_go(self, *, show: bool) -> None:
        """Give standard error back, and show what was kept if it is wanted; may be called again."""
        if self._real is None:
            return
        os.dup2(self._real, 2)
        os.close(self._real)
        self._real = None
        with self._kept as kept:
            kept.seek(0)
            os.write(2, kept.read() if show else b"")


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
