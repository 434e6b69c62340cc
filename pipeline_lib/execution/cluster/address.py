"""The address of the cluster to use: from `RAY_ADDRESS`, or of the Ray that this user started on this machine."""

import os
import socket
import stat
import sys
from collections.abc import Callable
from pathlib import Path

from pipeline_lib.errors import FaultError, SettingsError

_SECONDS_TO_ANSWER = 5.0
_LONGEST_ADDRESS = 300


def running_cluster(note: Callable[[str], None] = lambda _: None) -> str | None:
    """Return the address of the cluster to use, or None where there is none.

    It is tried first: `ray.init` would wait minutes for one that is gone, and a Ray that was killed leaves its
    address behind.

    Args:
        note: told where another user's cluster is passed over.

    Raises:
        FaultError: `RAY_ADDRESS` names a cluster that does not answer.
        SettingsError: `RAY_ADDRESS` is not the address of a cluster.
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
    address = _noted_address(note)
    return address if address and _answers(address) else None


def _noted_address(note: Callable[[str], None]) -> str | None:
    """Return the address that `ray start` of this user left; what anybody else may have written is not followed."""
    path = Path(temporary_folder(), "ray", "ray_current_cluster")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with open(descriptor, encoding="utf-8", errors="replace") as file:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            return None
        if about.st_uid != os.getuid() or about.st_mode & stat.S_IWOTH:
            note(f"{path} may be another user's and is not followed; to use that cluster, set RAY_ADDRESS")
            return None
        return file.read(_LONGEST_ADDRESS).strip()


def _answers(address: str) -> bool:
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=_SECONDS_TO_ANSWER).close()
    except (OSError, ValueError):
        return False
    return True


def temporary_folder() -> str:
    """Return the folder below which Ray looks for the note of a cluster of this machine."""
    on_linux = os.environ.get("TMPDIR") if sys.platform == "linux" else None
    return os.environ.get("RAY_TMPDIR") or on_linux or "/tmp"  # noqa: S108 - Ray's own place
