"""Files anywhere fsspec reaches: local paths, s3:// and other URLs, through one small set of functions."""

import contextlib
import glob
import hashlib
import json
import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import fsspec
from fsspec.archive import AbstractArchiveFileSystem
from fsspec.core import split_protocol, url_to_fs
from fsspec.implementations.chained import ChainedFileSystem
from fsspec.implementations.local import LocalFileSystem

from pipeline_lib.errors import FaultError, SettingsError, did_you_mean
from pipeline_lib.storage import s3, store_errors

_CHUNK_BYTES = 4 << 20

faults_named = store_errors.faults_named
patiently = store_errors.patiently


@dataclass(frozen=True, slots=True)
class FileStamp:
    """What tells one state of a file from another without reading it."""

    size: int
    tag: str
    """ETag where the store has one, else the modification time."""
    etag: bool = False
    """Whether the tag changes with the content and with nothing else."""


def filesystem(url: str) -> tuple[Any, str]:
    """Return the file system of a path or URL, and the path as that file system spells it.

    Listings are never cached: another process may be writing what we look at.

    Raises:
        SettingsError: the URL's scheme is not known, or its library is not installed.
    """
    try:
        fs, path = _opened(url, use_listings_cache=False, **_options(url))
    except (ValueError, TypeError, ImportError) as error:
        scheme = url.partition("://")[0]
        near = did_you_mean(scheme, fsspec.available_protocols())
        raise SettingsError(f"{url!r}: can't open this kind of URL: {error}{near}") from None
    if s3.is_s3(fs):
        s3.leave_retries_to_botocore(fs)
    path = os.path.abspath(path) if is_local(fs) else str(path).rstrip("/")
    return fs, path or "/"


def _opened(url: str, **options: Any) -> tuple[Any, str]:
    """Open a URL as fsspec does, but for `::` in a path, which fsspec always takes for the seam of a chain."""
    if "::" not in url:
        found: tuple[Any, str] = url_to_fs(url, **options)
        return found
    first, *others = url.split("::")
    kind = fsspec.get_filesystem_class(split_protocol(first)[0] or (first if _is_protocol(first) else "file"))
    if issubclass(kind, AbstractArchiveFileSystem):
        raise SettingsError(f"{url!r}: files inside of archives can't be read; unpack them into a folder")
    if issubclass(kind, ChainedFileSystem) or any("://" in other for other in others):
        fs, path = url_to_fs(url, **options)
        return fs, path
    # What `url_to_fs` does for a URL that is no chain.
    fs = kind(**{**kind._get_kwargs_from_urls(url), **options})  # noqa: SLF001
    return fs, kind._strip_protocol(url)  # noqa: SLF001


def _options(url: str) -> dict[str, Any]:
    """Return how a store's library is to wait, less what the machine's own fsspec configuration says of it."""
    scheme = url.partition("://")[0]
    if scheme not in {"s3", "s3a"}:
        return {}
    theirs = fsspec.config.conf.get(scheme, {}).get("config_kwargs", {})
    return {"config_kwargs": {**s3.TIMEOUTS, **theirs}}


def _is_protocol(word: str) -> bool:
    return word in fsspec.available_protocols()


def refuse_silence(url: str) -> None:
    """Check that a store answers at all, since fsspec takes no answer for no file.

    Raises:
        FaultError: it gives no answer within a minute, or fails.
        SettingsError: the library has no such profile, region or credentials.
        InputError: the store says that the bucket is elsewhere.
    """
    fs, path = filesystem(url)
    if s3.is_s3(fs) and not glob.has_magic(path.partition("/")[0]):  # whoever lists it refuses such a bucket
        with faults_named(url, "asking the store"):
            s3.ask(fs, path)


def is_local(fs: Any) -> bool:
    """Tell whether files of this file system can be renamed and synced by the operating system."""
    return isinstance(fs, LocalFileSystem)


def full_name(fs: Any, path: str) -> str:
    """Return a path so that `filesystem` on any machine finds it again: absolute, or with its scheme."""
    return path if is_local(fs) else str(fs.unstrip_protocol(path))


def stamp(fs: Any, path: str) -> FileStamp:
    """Return a file's size and tag."""
    info = fs.info(path)
    return stamp_of(info)


def stamp_of(info: dict[str, Any]) -> FileStamp:
    """Return the stamp that a file system's own listing entry holds."""
    etag = info.get("ETag") or info.get("etag")
    if etag:
        return FileStamp(int(info["size"]), str(etag).strip('"'), etag=True)
    when = info.get("mtime", info.get("LastModified", info.get("last_modified", "")))
    return FileStamp(int(info["size"]), f"{when:.6f}" if isinstance(when, float) else str(when))


def refuse_changed(url: str, seen: FileStamp) -> None:
    """Check that a file still is the one that was seen.

    Raises:
        FaultError: it was replaced, changed or removed.
    """
    fs, path = filesystem(url)
    with faults_named(url, "looking at the shard"):
        try:
            now = stamp(fs, path)
        except FileNotFoundError:
            raise FaultError(f"{url!r} was removed while the job ran; run again") from None
    if now != seen:
        raise FaultError(f"{url!r} was changed while the job ran; run again")


def content_of(fs: Any, path: str, seen: FileStamp) -> str:
    """Return what identifies a file's content, whatever its name and times: its ETag, else its SHA-256."""
    return f"etag:{seen.tag}" if seen.etag else f"sha256:{sha256(fs, path)}"


def read_bytes(fs: Any, path: str) -> bytes | None:
    """Return a whole small file, or None where there is none.

    Raises:
        OSError: it can't be read, or is a link, a device or a pipe, which whoever planted it may have led anywhere.
    """
    try:
        if is_local(fs):
            with open_regular(path) as file:
                return file.read()
        return s3.read(fs, path)[0] if s3.is_s3(fs) else bytes(fs.cat_file(path))
    except FileNotFoundError:
        return None


def read_end(fs: Any, path: str, size: int, most: int) -> bytes:
    """Return the last bytes of a file in a store, at most so many; of S3 by one request."""
    start = max(size - most, 0)
    return s3.read(fs, path, start)[0] if s3.is_s3(fs) else bytes(fs.cat_file(path, start=start, end=size))


def open_regular(path: str) -> IO[bytes]:
    """Open a local file for reading; a link is not followed, and a pipe or a device never waited for.

    Raises:
        OSError: it is none, or can't be read.
    """
    if os.path.islink(path):
        raise PermissionError(f"{path!r} is a link, not a regular file")
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise PermissionError(f"{path!r} is not a regular file")
    return os.fdopen(descriptor, "rb")


def open_ours(fs: Any, path: str) -> IO[bytes]:
    """Open a file of an output for reading, a regular one where the file system is this machine's."""
    file: IO[bytes] = open_regular(path) if is_local(fs) else fs.open(path, "rb")
    return file


def write_atomically(fs: Any, path: str, content: bytes) -> str | None:
    """Write a file so that readers see all of it or none of it, also after a crash; return its ETag if it has one.

    Object stores publish an object when its upload completes; a disk needs a rename of a synced file. A write that
    reports a failure may have happened all the same: what counts is what can be read back.
    """
    try:
        if is_local(fs):
            _write_and_rename(path, content)
            return None
        answer = fs.pipe_file(path, content)
        return str(answer.get("ETag", "")).strip('"') or None if isinstance(answer, dict) else None
    except Exception:
        if _read_back(fs, path) != content:
            raise
        return None


def _read_back(fs: Any, path: str) -> bytes | None:
    try:
        return read_bytes(fs, path)
    except Exception:  # noqa: BLE001 - the write's own failure is the one to tell
        return None


def _write_and_rename(path: str, content: bytes) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    sync_folder(os.path.dirname(path))


def move(fs: Any, source: str, target: str, size: int = 0) -> None:
    """Move a file within one file system, or a folder on a disk; in an object store by copy and removal."""
    if is_local(fs):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.replace(source, target)
    else:
        copy(fs, source, target, size)
        fs.rm_file(source)


def copy(fs: Any, source: str, target: str, size: int = 0) -> None:
    """Copy a file of an object store under the very name that is given, whatever stars and brackets are in it.

    Args:
        fs: the object store.
        source: the file.
        target: its copy.
        size: bytes of the file, where they are known; a very large one takes several requests.
    """
    if s3.is_s3(fs):
        s3.copy(fs, source, target, size)
    else:
        fs.cp_file(source, target)


def remove(fs: Any, path: str) -> None:
    """Remove a file; one that is not there is no error, and no question is asked first."""
    with contextlib.suppress(FileNotFoundError):
        if is_local(fs):
            os.unlink(path)
        else:
            fs.rm_file(path)


def remove_folder(fs: Any, folder: str) -> None:
    """Remove a folder with all that is in it, by its very name; one that is not there is no error.

    Links are removed, and what they lead to stays.
    """
    if is_local(fs):
        if os.path.islink(folder):
            os.unlink(folder)
        elif os.path.isdir(folder):
            shutil.rmtree(folder)
    elif s3.is_s3(fs):
        s3.remove(fs, [f"{folder}/{name}" for name, _, _ in s3.files_below(fs, folder)])
    else:
        with contextlib.suppress(FileNotFoundError):
            for path in fs.find(folder):
                fs.rm_file(path)
        with contextlib.suppress(OSError, NotImplementedError):
            fs.rmdir(folder)


def names_in(fs: Any, folder: str) -> list[str]:
    """Return the sorted names of the files and folders in a folder; none if it is not there."""
    try:
        return sorted(str(name).rstrip("/").rsplit("/", 1)[-1] for name in fs.ls(folder, detail=False))
    except FileNotFoundError:
        return []


def keep_renames(fs: Any, *folders: str) -> None:
    """Make renames in folders survive a power cut, where they are local; one that is not there is no error."""
    for folder in folders:
        if is_local(fs) and os.path.isdir(folder):
            sync_folder(folder)


def sync_folder(path: str) -> None:
    """Make renames in a local folder survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(fs: Any, path: str) -> str:
    """Return the SHA-256 of a file as hex, reading it in pieces."""
    with fs.open(path, "rb") as file:
        return sha256_of(file)


def sha256_of(file: IO[bytes]) -> str:
    """Return the SHA-256 of what is left of an open file as hex, reading it in pieces."""
    digest = hashlib.sha256()
    for piece in chunks(file):
        digest.update(piece)
    return digest.hexdigest()


def chunks(file: IO[bytes]) -> Iterator[bytes]:
    """Yield a file's bytes a few megabytes at a time."""
    while piece := file.read(_CHUNK_BYTES):
        yield piece


def to_json(value: Any) -> bytes:
    """Return JSON bytes that are the same for the same value."""
    return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
