"""From a path or a URL to a location, and whether the store behind it answers."""

import glob
import os
from typing import Any

import fsspec
from fsspec.archive import AbstractArchiveFileSystem
from fsspec.core import split_protocol, url_to_fs
from fsspec.implementations.chained import ChainedFileSystem
from fsspec.implementations.local import LocalFileSystem

from pipeline_lib.errors import SettingsError, did_you_mean
from pipeline_lib.storage import s3
from pipeline_lib.storage.disk import DiskLocation
from pipeline_lib.storage.location import Location
from pipeline_lib.storage.store_errors import translated_errors


def location_of(url: str) -> Location:
    """Return the location that a path or a URL names; it need not exist.

    Listings are never cached: another process may be writing to the same place.

    Raises:
        SettingsError: the scheme of the URL is not known, or its library is not installed.
    """
    try:
        fs, path = _open_url(url, use_listings_cache=False, **_store_options(url))
    except (ValueError, TypeError, ImportError) as error:
        scheme = url.partition("://")[0]
        near = did_you_mean(scheme, fsspec.available_protocols())
        raise SettingsError(f"{url!r}: can't open this kind of URL: {error}{near}") from None
    if isinstance(fs, LocalFileSystem):
        return DiskLocation(fs, os.path.abspath(path))
    path = str(path).rstrip("/") or "/"
    if s3.is_s3(fs):
        fs.retries = 1  # botocore has tried three times already, and the waits would multiply
        return s3.S3Location(fs, path)
    return Location(fs, path)


def check_store_answers(url: str) -> None:
    """Check that a store answers at all, since fsspec takes a missing answer for a missing file.

    Raises:
        FaultError: it gives no answer within a minute, or fails.
        SettingsError: the library has no such profile, region or credentials.
        InputError: the store says that the bucket is elsewhere.
    """
    location = location_of(url)
    # A bucket that is a glob is refused when it is listed.
    if isinstance(location, s3.S3Location) and not glob.has_magic(location.path.partition("/")[0]):
        with translated_errors(url, "asking the store"):
            location.ask_bucket()


def _open_url(url: str, **options: Any) -> tuple[Any, str]:
    """Open a URL as fsspec does, except that fsspec takes every `::` in a path for a chain of URLs."""
    if "::" not in url:
        opened: tuple[Any, str] = url_to_fs(url, **options)
        return opened
    first, *others = url.split("::")
    is_protocol = first in fsspec.available_protocols()
    kind = fsspec.get_filesystem_class(split_protocol(first)[0] or (first if is_protocol else "file"))
    if issubclass(kind, AbstractArchiveFileSystem):
        raise SettingsError(f"{url!r}: files inside of archives can't be read; unpack them into a folder")
    if issubclass(kind, ChainedFileSystem) or any("://" in other for other in others):
        fs, path = url_to_fs(url, **options)
        return fs, path
    # What `url_to_fs` does for a URL that is no chain.
    fs = kind(**{**kind._get_kwargs_from_urls(url), **options})  # noqa: SLF001
    return fs, kind._strip_protocol(url)  # noqa: SLF001


def _store_options(url: str) -> dict[str, Any]:
    """Return how long the store's library waits; the machine's own configuration of fsspec goes first."""
    scheme = url.partition("://")[0]
    if scheme not in {"s3", "s3a"}:
        return {}
    configured = fsspec.config.conf.get(scheme, {}).get("config_kwargs", {})
    return {"config_kwargs": {**s3.CLIENT_CONFIG, **configured}}
