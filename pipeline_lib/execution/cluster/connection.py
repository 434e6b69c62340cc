"""The Ray that the job runs on: one that is already there, or one of its own for as long as it runs."""

import contextlib
import logging
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import ray

from pipeline_lib.errors import FaultError
from pipeline_lib.execution.cluster.address import running_cluster
from pipeline_lib.execution.cluster.local_ray import (
    Start,
    keep_token_out_of_the_home,
    own_folder,
)
from pipeline_lib.execution.cluster.orphans import orphans_killed

# Settings that stop Ray from printing what this job reports itself, or what no user needs.
_QUIET = {
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    # The level at which Ray's C++ parts write into our terminal; what fails there reaches us as an exception.
    "RAY_BACKEND_LOG_LEVEL": "fatal",
}


_T = TypeVar("_T")

_starts: list[Start] = []
"""The start of the Ray that this process connects to; none while no block is open."""


@contextlib.contextmanager
def connected(meanwhile: Callable[[], _T], note: Callable[[str], None] = lambda _: None) -> Iterator[_T]:
    """Connect to a running cluster, or start Ray here and stop it afterwards; yield what was done meanwhile.

    A cluster is taken when `RAY_ADDRESS` names one, when the program runs as a Ray job, or when this user ran
    `ray start` on this machine.

    Args:
        meanwhile: called while Ray starts; what it raises is raised.
        note: told what the user should know.

    Raises:
        FaultError: `RAY_ADDRESS` names a cluster that does not answer, or Ray does not start here.
        SettingsError: `RAY_ADDRESS` is not the address of a cluster.
    """
    for start in _starts:  # of a block around this one, which plans while its Ray starts
        start.wait()
    if ray.is_initialized():  # by the caller, or by a block around this one
        _silence_ray_data()
        yield meanwhile()
        return
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    over = threading.Event()
    address = running_cluster(note)
    with messages_silenced(), contextlib.nullcontext(_joining(address)) if address else _starting() as given:
        options = {"log_to_driver": False, "logging_level": logging.ERROR, **given}
        start = Start(options, over, lambda: address is not None and _shows_token(address, note))
        _starts.append(start)
        try:
            result = meanwhile()
            with _token_hinted(address):
                start.wait()
            _silence_ray_data()
            yield result
        finally:
            _starts.remove(start)
            start.settle()
            ray.shutdown()
            over.set()


@contextlib.contextmanager
def joined_if_running(note: Callable[[str], None] = lambda _: None) -> Iterator[None]:
    """Connect to a running cluster, if there is one, for as long as the block runs: what it has decides the plan.

    Args:
        note: told what the user should know.
    """
    if ray.is_initialized() or running_cluster(note) is None:
        yield
        return
    with connected(lambda: None, note):
        yield


@contextlib.contextmanager
def messages_silenced() -> Iterator[None]:
    """Keep Ray from printing to standard output what it tells every driver, whatever `log_to_driver` says."""
    from ray._private import worker

    before = worker._worker_logs_enabled  # noqa: SLF001 - it has no public name
    worker._worker_logs_enabled = False  # noqa: SLF001
    try:
        yield
    finally:
        worker._worker_logs_enabled = before  # noqa: SLF001


@contextlib.contextmanager
def _starting() -> Iterator[dict[str, Any]]:
    """Yield the options for a Ray of our own, and leave nothing of it behind."""
    keep_token_out_of_the_home()
    with own_folder() as folder, orphans_killed(folder):
        yield {"address": "local", "include_dashboard": False, "_temp_dir": str(folder / "r")}


def _joining(address: str) -> dict[str, Any]:
    """Return the options for a cluster that runs."""
    # Workers on other machines get this very package, whatever is installed there.
    return {"address": address, "runtime_env": {"py_modules": [str(Path(__file__).parents[2])]}}


@contextlib.contextmanager
def _token_hinted(address: str | None) -> Iterator[None]:
    """Have an error of the block say what lets this process into a cluster that demands a token."""
    try:
        yield
    except FaultError as error:
        if address and "RAY_AUTH_MODE" not in os.environ:
            raise FaultError(f"{error}; if it demands a token, set RAY_AUTH_MODE=token") from error
        raise


def _shows_token(address: str, note: Callable[[str], None]) -> bool:
    """Have this process show the token of the home to a cluster that refused it, and tell whether it will.

    `ray start` demands the token that an earlier Ray left in this home. It is not shown beforehand, since a cluster
    that knows none can't answer a process that has one; nor to another machine, unless the user says so.
    """
    try:
        from ray._private.authentication.authentication_token_setup import (
            maybe_enable_token_auth_if_token_available as enable_token,
        )
    except ImportError:  # an older Ray, whose `ray start` requires a token only where the user asked for it
        return False
    host = address.rpartition(":")[0].strip("[]")
    if "://" in address or host not in {"127.0.0.1", "localhost", "::1", ray.util.get_node_ip_address()}:
        return False
    if not enable_token(warn_if_disabled=False):
        return False
    note("the cluster requires the token in ~/.ray/auth_token; RAY_AUTH_MODE=token sends it from the start")
    return True


def _silence_ray_data() -> None:
    from ray.data import DataContext

    # The room for actors can be given in no other way; pyproject.toml says up to which Ray.
    warnings.filterwarnings("ignore", message="`ray_remote_args` is deprecated")
    # What fails reaches us as an exception, and is told in one line.
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.raise_original_map_exception = True  # else ours would arrive as text inside one of Ray's
