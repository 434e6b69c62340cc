"""Cache folders of this machine: only this user can write in them, so that their contents can be trusted."""

import contextlib
import os
import stat
import tempfile
from pathlib import Path

from pipeline_lib.errors import SettingsError

_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


def cache_folder(*names: str) -> Path:
    """Return a cache folder of this user, and create it with mode 0700 if it is missing.

    Raises:
        SettingsError: it, or the folder above it, is a link, belongs to another user, or others may write in it.
        OSError: it can't be created.
    """
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError as error:  # a user without a home
        raise OSError(str(error)) from None
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("nightscore", *names):
        folder /= name
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        _check(folder)
    return folder


def read_own(path: Path) -> bytes:
    """Return the content of a file of a cache folder.

    Raises:
        OSError: it is missing, is a link, or belongs to another user.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            raise PermissionError(f"{path} is no file of this user")
        return file.read()


def write_own(path: Path, content: bytes) -> None:
    """Write a file of a cache folder in one step: a reader sees the old content or the whole new one.

    Raises:
        OSError: it can't be written.
    """
    handle, part = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    Path(part).replace(path)


def _check(folder: Path) -> None:
    status = folder.lstat()
    why = ""
    if not stat.S_ISDIR(status.st_mode):
        why = "is a link" if stat.S_ISLNK(status.st_mode) else "is no folder"
    elif status.st_uid != os.geteuid():
        why = f"belongs to another user (number {status.st_uid})"
    elif status.st_mode & _OTHERS_MAY_WRITE:
        why = f"can be written by others (mode {stat.S_IMODE(status.st_mode):o})"
    if why:
        raise SettingsError(
            f"the cache {str(folder)!r} {why}, so its contents can't be trusted; remove it, or name another "
            "place in XDG_CACHE_HOME"
        )
    if stat.S_IMODE(status.st_mode) != stat.S_IRWXU:
        folder.chmod(stat.S_IRWXU)
