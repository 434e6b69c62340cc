"""A Ray of the program's own, for as long as it runs: on loopback only, and not announced to other programs."""

import contextlib
import ctypes
import os
import secrets
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ray

from pipeline_lib.errors import FaultError
from pipeline_lib.execution.cluster.address import temporary_folder
from pipeline_lib.execution.cluster.failures import last_line

_SECONDS_BETWEEN_HANDLERS = 0.005
_SECONDS_TO_SETTLE = 60.0
# Ray's sockets lie four folders below, and their paths may have 107 characters.
_LONGEST_FOLDER = 20


@contextlib.contextmanager
def own_folder() -> Iterator[Path]:
    """Yield a new folder for a Ray's logs and sockets that no other user may look into; it ends with the block.

    Ray's own place is open to all: who can write there can lead its links elsewhere. Ray opens the very folder that
    it is given, too, so it gets one inside.
    """
    base = temporary_folder()
    if len(base) > _LONGEST_FOLDER and "RAY_TMPDIR" not in os.environ:
        base = "/tmp"  # noqa: S108 - nobody can guess the name of the folder in it
    folder = Path(tempfile.mkdtemp(prefix="nightscore-", dir=base))
    try:
        (folder / "r").mkdir()
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def keep_token_out_of_the_home() -> None:
    """Set a token for this process's own Ray.

    Otherwise Ray writes one to ~/.ray/auth_token, and every later cluster of this user requires it.
    """
    if not {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
        # Not the mode: Ray sets that, unless the user did.
        os.environ["RAY_AUTH_TOKEN"] = _TOKEN


_TOKEN = secrets.token_hex(32)
"""One for the life of the process, since Ray reads it once."""


@contextlib.contextmanager
def _on_loopback() -> Iterator[None]:
    """Have Ray take this machine's loopback address for its own in the block, so that no other machine reaches it.

    Ray does so by itself where it supports no clusters, as on macOS; an address given to it is replaced.
    """
    from ray._private import ray_constants

    before = getattr(ray_constants, "ENABLE_RAY_CLUSTER", None)
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


class Start:
    """A start of Ray beside other work.

    `ray.init` runs in a thread that stays until the event, since Ray's processes end with that thread. Meanwhile a
    second one keeps SIGTERM with the handler that it has: `ray.init` gives it to handlers of its own, which end the
    process with a stack trace of C++.

    Args:
        options: of `ray.init`; a folder among them means a Ray of our own.
        over: set when Ray is no longer needed.
        on_refusal: called when a cluster does not let this process in; returns whether to try once more.
    """

    def __init__(self, options: dict[str, Any], over: threading.Event, on_refusal: Callable[[], bool]) -> None:
        self._on_refusal = on_refusal
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._stderr = _CapturedStderr()
        self._guard = threading.Thread(target=self._keep_handler, name="sigterm", daemon=True)
        self._guard.start()
        threading.Thread(target=self._init, args=(options, over), name="ray", daemon=True).start()

    def _init(self, options: dict[str, Any], over: threading.Event) -> None:
        try:
            with _on_loopback() if "_temp_dir" in options else contextlib.nullcontext():
                self._connect(options)
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            self._failure = error
        self._ready.set()
        over.wait()

    def _connect(self, options: dict[str, Any]) -> None:
        try:
            ray.init(**options)
        except ConnectionError:
            if not self._on_refusal():
                raise
            ray.init(**options)

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
        self._stderr.restore(show=self._failure is not None)
        if self._failure:
            raise FaultError(f"Ray did not start: {last_line(self._failure)}") from self._failure

    def settle(self) -> None:
        """Wait until an unfinished start of Ray has ended, since Ray can only be shut down cleanly after it.

        If it is interrupted while it connects, the interpreter does not end for a minute.
        """
        self._guard.join(_SECONDS_TO_SETTLE)
        self._stderr.restore(show=False)


class _CapturedStderr:
    """Captures what C++ code writes to standard error while Ray starts."""

    def __init__(self) -> None:
        sys.stderr.flush()
        self._real: int | None = os.dup(2)
        self._captured = tempfile.TemporaryFile()  # noqa: SIM115 - open until standard error is restored
        os.dup2(self._captured.fileno(), 2)

    def restore(self, *, show: bool) -> None:
        """Restore standard error, and print what was captured if that is wanted; may be called again."""
        if self._real is None:
            return
        os.dup2(self._real, 2)
        os.close(self._real)
        self._real = None
        with self._captured as captured:
            captured.seek(0)
            os.write(2, captured.read() if show else b"")
