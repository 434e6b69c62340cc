"""Small files that are written only if nobody else wrote them first: compare and swap, on disks and on S3."""

import contextlib
import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeline_lib import s3, storage

_SETTLE_SECONDS = 2.0


@dataclass(frozen=True)
class Held:
    """A file's content, and the token by which a later write recognises it."""

    content: bytes
    token: str


def read(fs: Any, path: str) -> Held | None:
    """Return a file's content and token, or None where there is none."""
    if s3.is_s3(fs):
        return _read_s3(fs, path)
    content = storage.read_bytes(fs, path)
    return None if content is None else Held(content, hashlib.sha256(content).hexdigest())


def write(fs: Any, path: str, content: bytes, expected: Held | None) -> Held | None:
    """Write a file if it still is as expected (None: if it is not there); return it, or None if it is not.

    On a disk the folder is locked meanwhile; S3 compares by itself (If-None-Match, If-Match). Other stores can't
    compare: there the last writer wins, and whoever finds another content a moment later has lost.
    """
    if storage.is_local(fs):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with _locked(os.path.dirname(path)):
            return _write_if(fs, path, content, expected)
    if s3.is_s3(fs):
        return _write_s3(fs, path, content, expected)
    written = _write_if(fs, path, content, expected)
    if written and expected is None:
        time.sleep(_SETTLE_SECONDS)
        return written if read(fs, path) == written else None
    return written


def remove(fs: Any, path: str, expected: Held) -> None:
    """Remove a file if it still is as expected."""
    if storage.is_local(fs):
        with _locked(os.path.dirname(path)):
            if read(fs, path) == expected:
                fs.rm_file(path)
    elif read(fs, path) == expected:
        fs.rm_file(path)


def _write_if(fs: Any, path: str, content: bytes, expected: Held | None) -> Held | None:
    if read(fs, path) != expected:
        return None
    storage.write_atomically(fs, path, content)
    return read(fs, path)


@contextlib.contextmanager
def _locked(folder: str) -> Iterator[None]:
    """Lock a folder against other writers of this kind; the system lets go of it when the process ends."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read_s3(fs: Any, path: str) -> Held | None:
    try:
        return Held(*s3.read(fs, path))
    except FileNotFoundError:
        return None


def _write_s3(fs: Any, path: str, content: bytes, expected: Held | None) -> Held | None:
    bucket, key, _ = fs.split_path(path)
    condition = {"IfMatch": expected.token} if expected else {"IfNoneMatch": "*"}
    try:
        written = fs.call_s3("put_object", Bucket=bucket, Key=key, Body=content, **condition)
    except OSError:
        # Refused, or done with the answer lost: a retried request finds its own first write. Only reading tells.
        found = read(fs, path)
        if found == expected:
            raise
        return found if found and found.content == content else None
    return Held(content, written["ETag"])
