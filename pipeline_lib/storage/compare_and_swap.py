"""Small files that are written only if nobody else wrote them first: compare and swap, on disks and on S3."""

import contextlib
import fcntl
import hashlib
import os
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pipeline_lib.storage.location import Location
from pipeline_lib.storage.s3 import S3Location, error_code

# Another write of the same file is under way; S3's documentation says to repeat the request.
_CONFLICT_CODES = {"ConditionalRequestConflict", "OperationAborted", "409"}
_SECONDS_BETWEEN_CONFLICTS = (0.2, 0.5, 1.0)
_REFUSED_CODES = {"PreconditionFailed", "412", *_CONFLICT_CODES, "NoSuchKey", "404"}
_UNSUPPORTED_CODES = {"NotImplemented", "501", "InvalidArgument", "InvalidRequest", "400"}


@dataclass(frozen=True)
class TaggedContent:
    """A file's content, and the tag by which a later write recognises it."""

    content: bytes
    tag: str


def read(file: Location) -> TaggedContent | None:
    """Return a file's content and tag, or None if there is no file."""
    if isinstance(file, S3Location):
        try:
            return TaggedContent(*file.read_with_etag())
        except FileNotFoundError:
            return None
    content = file.read()
    return None if content is None else TaggedContent(content, hashlib.sha256(content).hexdigest())


def has_conditional_writes(file: Location) -> bool:
    """Return whether of two writers of a file one is refused.

    On a disk a lock sees to that. Some stores with the interface of S3 accept a condition and ignore it, which two
    writes that must be refused show. Other stores have no conditions.

    Raises:
        OSError: the storage failed, or may not be written.
    """
    if not isinstance(file, S3Location):
        return file.is_local
    folder, _, name = file.path.rpartition("/")
    probe = S3Location(file.fs, f"{folder}/.{name}.{uuid.uuid4().hex}.tmp")
    probe.call("put_object", Body=b"once")
    try:
        return _is_refused(probe, IfNoneMatch="*") and _is_refused(probe, IfMatch='"another"')
    finally:
        probe.call("delete_object")


def write(
    file: Location, content: bytes, expected: TaggedContent | None, *, conditional: bool = True
) -> TaggedContent | None:
    """Write a file if its content is still the expected one; return what was written, or None if it is not.

    On a disk the folder is locked meanwhile; S3 compares by itself (If-None-Match, If-Match). In a store without
    conditional writes the last writer wins, and every other one reads another content a moment later.

    Args:
        file: the file.
        content: the new content.
        expected: the content when the file was last read; None if there was no file.
        conditional: what `has_conditional_writes` returns for this file.
    """
    if file.is_local:
        os.makedirs(os.path.dirname(file.path), exist_ok=True)
        with _locked_folder(file):
            return _write_after_reading(file, content, expected)
    if isinstance(file, S3Location) and conditional:
        return _write_s3(file, content, expected)
    return _write_after_reading(file, content, expected)


def remove(file: Location, is_expected: Callable[[TaggedContent], bool]) -> None:
    """Remove a file if its content is still an expected one."""
    with _locked_folder(file) if file.is_local else contextlib.nullcontext():
        current = read(file)
        if current and is_expected(current):
            file.remove()


def _write_after_reading(file: Location, content: bytes, expected: TaggedContent | None) -> TaggedContent | None:
    if read(file) != expected:
        return None
    file.write(content)
    return _read_if(file, content)


def _read_if(file: Location, content: bytes) -> TaggedContent | None:
    current = read(file)
    return current if current and current.content == content else None


def _is_refused(probe: S3Location, **condition: str) -> bool:
    try:
        probe.call("put_object", Body=b"twice", **condition)
    except OSError as error:
        if error_code(error) in _REFUSED_CODES:
            return True
        if error_code(error) in _UNSUPPORTED_CODES:
            return False
        raise
    return False


@contextlib.contextmanager
def _locked_folder(file: Location) -> Iterator[None]:
    """Lock the folder of a file against other writers of this kind; the lock ends with the process."""
    descriptor = os.open(os.path.dirname(file.path), os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write_s3(file: S3Location, content: bytes, expected: TaggedContent | None) -> TaggedContent | None:
    condition = {"IfMatch": expected.tag} if expected else {"IfNoneMatch": "*"}
    for seconds in (*_SECONDS_BETWEEN_CONFLICTS, None):
        try:
            answer = file.call("put_object", Body=content, **condition)
        except Exception as error:
            # It was refused, or done while its answer was lost: a repeated request meets its own first write.
            if read(file) != expected:
                return _read_if(file, content)
            if seconds is None or error_code(error) not in _CONFLICT_CODES:
                raise
            time.sleep(seconds)
        else:
            return TaggedContent(content, answer["ETag"])
    raise AssertionError("the last conflict was raised")
