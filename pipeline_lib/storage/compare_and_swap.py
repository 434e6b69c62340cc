"""Small files that are written only if nobody else wrote them first: compare and swap, on disks and on S3."""

import contextlib
import fcntl
import hashlib
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeline_lib.storage import files as storage
from pipeline_lib.storage import s3

_REFUSALS = {"PreconditionFailed", "412", "ConditionalRequestConflict", "409", "NoSuchKey", "404"}
_NOT_KNOWN = {"NotImplemented", "501", "InvalidArgument", "InvalidRequest", "400"}


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


def heeded(fs: Any, path: str) -> bool:
    """Tell whether writes to a place heed their conditions, so that of two writers one is refused.

    Disks do, by a lock. Of S3's kin some take a condition and ignore it: a write that must be refused tells. Other
    stores have no conditions.

    Raises:
        OSError: the storage failed, or may not be written.
    """
    if storage.is_local(fs):
        return True
    if not s3.is_s3(fs):
        return False
    folder, _, name = path.rpartition("/")
    bucket, key, _ = fs.split_path(f"{folder}/.{name}.{uuid.uuid4().hex}.tmp")
    fs.call_s3("put_object", Bucket=bucket, Key=key, Body=b"once")
    try:
        return all(
            _is_refused(fs, bucket, key, condition)
            for condition in ({"IfNoneMatch": "*"}, {"IfMatch": '"another"'})
        )
    finally:
        fs.call_s3("delete_object", Bucket=bucket, Key=key)


def write(fs: Any, path: str, content: bytes, expected: Held | None, *, heeds: bool = True) -> Held | None:
    """Write a file if it still is as expected (None: if it is not there); return it, or None if it is not.

    On a disk the folder is locked meanwhile; S3 compares by itself (If-None-Match, If-Match). Where conditions are
    not heeded the last writer wins, and whoever finds another content a moment later has lost.

    Args:
        fs: where.
        path: the file.
        content: to be written.
        expected: what was there when it was last looked at.
        heeds: what `heeded` says.
    """
    if storage.is_local(fs):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with _locked(os.path.dirname(path)):
            return _write_if(fs, path, content, expected)
    if s3.is_s3(fs) and heeds:
        return _write_s3(fs, path, content, expected)
    return _write_if(fs, path, content, expected)


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
    found = read(fs, path)
    return found if found and found.content == content else None


def _is_refused(fs: Any, bucket: str, key: str, condition: dict[str, str]) -> bool:
    try:
        fs.call_s3("put_object", Bucket=bucket, Key=key, Body=b"twice", **condition)
    except OSError as error:
        if s3.error_code(error) in _REFUSALS:
            return True
        if s3.error_code(error) in _NOT_KNOWN:
            return False
        raise
    return False


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
