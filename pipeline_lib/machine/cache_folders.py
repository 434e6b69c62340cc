"""Folders of this machine for what can be made again: this user's alone, so that what they hold can be believed."""

import contextlib
import os
import stat
import tempfile
from pathlib import Path

from pipeline_lib.errors import SettingsError

_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


def cache_folder(*names: str) -> Path:
    """Return a folder of this machine for what can be made again, and make it: for this user alone, mode 0700.

    Raises:
        SettingsError: it, or the folder above it, is a link, belongs to another user, or others may write in it.
        OSError: it can't be made.
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
    """Return what a file of such a folder holds.

    Raises:
        OSError: it is not there, is a link, or is another user's.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            raise PermissionError(f"{path} is no file of this user")
        return file.read()


def write_own(path: Path, content: bytes) -> None:
    """Write a file of such a folder, so that whoever reads it meanwhile finds all of it or none.

    Raises:
        OSError: it can't be written.
    """
    handle, part = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    Path(part).replace(path)


def _check(folder: Path) -> None:
    found = folder.lstat()
    why = ""
    if not stat.S_ISDIR(found.st_mode):
        why = "is a link" if stat.S_ISLNK(found.st_mode) else "is no folder"
    elif found.st_uid != os.geteuid():
        why = f"belongs to another user (number {found.st_uid})"
    elif found.st_mode & _OTHERS_MAY_WRITE:
        why = f"can be written by others (mode {stat.S_IMODE(found.st_mode):o})"
    if why:
        raise SettingsError(
            f"the cache {str(folder)!r} {why}, so what it holds can't be believed; remove it, or name another "
            "place in XDG_CACHE_HOME"
        )
    if stat.S_IMODE(found.st_mode) != stat.S_IRWXU:
        folder.chmod(stat.S_IRWXU)
