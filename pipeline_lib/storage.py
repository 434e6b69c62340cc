"""Files anywhere fsspec reaches: local paths, s3:// and other URLs, through one small set of functions."""

import contextlib
import errno
import hashlib
import json
import os
import traceback
import uuid
from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import IO, Any

import fsspec
from fsspec.archive import AbstractArchiveFileSystem
from fsspec.core import split_protocol, url_to_fs
from fsspec.implementations.chained import ChainedFileSystem
from fsspec.implementations.local import LocalFileSystem

from pipeline_lib.errors import FaultError, InputError, SettingsError, did_you_mean

_CHUNK_BYTES = 4 << 20
_LIBRARIES = frozenset({"botocore", "aiobotocore", "aiohttp", "fsspec", "s3fs"})


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
        fs, path = _opened(url, use_listings_cache=False)
    except (ValueError, TypeError, ImportError) as error:
        scheme = url.partition("://")[0]
        near = did_you_mean(scheme, fsspec.available_protocols())
        raise SettingsError(f"{url!r}: can't open this kind of URL: {error}{near}") from None
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


def _is_protocol(word: str) -> bool:
    return word in fsspec.available_protocols()


def is_local(fs: Any) -> bool:
    """Tell whether files of this file system can be renamed and synced by the operating system."""
    return isinstance(fs, LocalFileSystem)


def full_name(fs: Any, path: str) -> str:
    """Return a path so that `filesystem` on any machine finds it again: absolute, or with its scheme."""
    return path if is_local(fs) else str(fs.unstrip_protocol(path))


@contextlib.contextmanager
def faults_named(url: str, doing: str) -> Iterator[None]:
    """Turn the many exceptions of storage libraries into one that says where and what.

    Missing files and refused permissions are the user's to mend; everything else may pass.
    """
    try:
        yield
    except (FileNotFoundError, PermissionError, NotADirectoryError, IsADirectoryError) as error:
        raise InputError(f"{url!r}: {doing} failed: {_reason(error)}") from error
    except OSError as error:
        lasting = error.errno in (errno.EROFS, errno.ENAMETOOLONG)
        raise (InputError if lasting else FaultError)(f"{url!r}: {doing} failed: {_reason(error)}") from error
    except (ValueError, TypeError) as error:
        # Libraries say so of a wrong endpoint, bucket or pattern; from our own code it is a fault of ours.
        if not _raised_in(error, _LIBRARIES):
            raise
        advice = "; an endpoint is a URL such as http://host:9000 (AWS_ENDPOINT_URL)"
        hint = advice if "endpoint" in str(error).lower() else ""
        raise SettingsError(f"{url!r}: {doing} failed: {_reason(error)}{hint}") from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in _LIBRARIES:
            raise
        kind = SettingsError if "redential" in str(error) else FaultError
        raise kind(f"{url!r}: {doing} failed: {_reason(error)}") from error


def _raised_in(error: BaseException, packages: Container[str]) -> bool:
    """Tell whether an exception came out of a call into one of these packages."""
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_globals.get("__name__", "").partition(".")[0] in packages for frame, _ in frames)


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
    """Return a whole small file, or None where there is none."""
    try:
        return bytes(fs.cat_file(path))
    except FileNotFoundError:
        return None


def write_atomically(fs: Any, path: str, content: bytes) -> None:
    """Write a file so that readers see all of it or none of it, also after a crash.

    Object stores publish an object when its upload completes; a disk needs a rename of a synced file. A write that
    reports a failure may have happened all the same: what counts is what can be read back.
    """
    try:
        if is_local(fs):
            _write_and_rename(path, content)
        else:
            fs.pipe_file(path, content)
    except Exception:
        if _read_back(fs, path) != content:
            raise


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


def move(fs: Any, source: str, target: str) -> None:
    """Move a file within one file system; on a disk atomically, on an object store by copy and delete."""
    if is_local(fs):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.replace(source, target)
    else:
        fs.copy(source, target)
        fs.rm_file(source)


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
    digest = hashlib.sha256()
    with fs.open(path, "rb") as file:
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


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
