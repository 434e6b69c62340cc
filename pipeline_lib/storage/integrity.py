"""Integrity: whether files are still what was planned or written, by ETag, hash, footer and row count."""

import hashlib
import io
from collections.abc import Sequence
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline_lib.errors import FaultError
from pipeline_lib.machine.parallel import in_threads
from pipeline_lib.storage.location import FileStamp, Location
from pipeline_lib.storage.records import SUCCESS, VERSION_KEY, FileRecord, JoinedFile, Receipt, Success, parse
from pipeline_lib.storage.store_errors import translated_errors, with_retries
from pipeline_lib.storage.urls import location_of

_FOOTER_BYTES = 64 << 10


def check_unchanged(url: str, planned: FileStamp) -> None:
    """Check that a shard is still the file that was planned.

    Raises:
        FaultError: it was replaced, changed or removed.
    """
    with translated_errors(url, "checking the shard"):
        try:
            now = location_of(url).stamp()
        except FileNotFoundError:
            raise FaultError(f"{url!r} was removed while the job ran; run again") from None
    if now != planned:
        raise FaultError(f"{url!r} was changed while the job ran; run again")


def content_id(url: str, stamp: FileStamp) -> str:
    """Return what identifies a shard's content, whatever its name and times: its ETag, else its SHA-256."""
    if stamp.etag:
        return f"etag:{stamp.tag}"
    location = location_of(url)
    with location.fs.open(location.path, "rb") as file:
        return f"sha256:{_sha256(file)}"


def read_success(output: Location) -> Success | None:
    """Return the mark of a complete version, or None where nothing is published."""
    return parse(Success, (output / SUCCESS).read())


def read_receipts(output: Location, names: Sequence[str]) -> list[Receipt | None]:
    """Return receipts by their names below a folder; None for a file that is no receipt of this program."""
    return list(in_threads(lambda name: parse(Receipt, (output / name).read()), names))


def read_joined_files(output: Location, names: Sequence[str]) -> list[JoinedFile | None]:
    """Return records of joined files, likewise."""
    return list(in_threads(lambda name: parse(JoinedFile, (output / name).read()), names))


def is_proven(stamp: FileStamp, record: FileRecord) -> bool:
    """Return whether the store's own checksum proves that a file is what was written, without reading it."""
    return stamp.regular and stamp.etag and stamp.size == record.bytes and stamp.tag in record.etags


def fault(file: Location, record: FileRecord, stamp: FileStamp | None) -> str | None:
    """Return what is wrong with a file of the output, or None if it is the one that was written.

    The whole file is read, and its size, hash, footer and row count are compared: a size alone proves nothing.

    Args:
        file: the file.
        record: what was written.
        stamp: its state by a listing, which in a store may be older than the file; None if the listing lacks it.

    Raises:
        NightscoreError: the storage failed, and all retries too.
    """

    def compared() -> str | None:
        with translated_errors(file.url, "comparing the file"):
            return _difference(file, record, stamp)

    return with_retries(compared)


def _difference(file: Location, record: FileRecord, stamp: FileStamp | None) -> str | None:
    if not file.is_local and (stamp is None or stamp.size != record.bytes):
        stamp = file.stamp_now()
    if stamp is None:
        return "is missing"
    if not stamp.regular:
        return "is a link or a device"
    if stamp.size != record.bytes:
        return f"has {stamp.size:,} bytes, expected {record.bytes:,}"
    try:
        with file.open() as content:
            if _sha256(content) != record.sha256:
                return "has other content than was written"
            content.seek(0)
            rows = _rows_of(content)
    except FileNotFoundError:
        return "is missing"
    return None if rows == record.rows else f"has {rows} rows, expected {record.rows}"


def version_fault(file: Location, version: str) -> str | None:
    """Return what is wrong with the version in a Parquet file's footer, or None.

    Raises:
        NightscoreError: the storage failed, and all retries too.
    """

    def metadata() -> dict[bytes, bytes]:
        with translated_errors(file.url, "reading the footer"), file.open() as content:
            return pq.read_schema(content).metadata or {}

    actual = with_retries(metadata).get(VERSION_KEY.encode(), b"none").decode(errors="replace")
    return None if actual == version else f"is of version {actual}"


def count_rows(file: Location, stamp: FileStamp) -> int | None:
    """Return the number of rows in a Parquet file's footer, or None if it has no footer.

    Args:
        file: the file.
        stamp: its state; a store is asked only for its last bytes, by one request.

    Raises:
        FileNotFoundError: there is no file in this state, as far as the store can tell.
    """
    if file.is_local:
        with file.open() as content:
            return _rows_of(content)
    rows = _rows_of(io.BytesIO(file.read_end(stamp, _FOOTER_BYTES)))
    if rows is None and stamp.size > _FOOTER_BYTES:  # a footer of many columns
        rows = _rows_of(io.BytesIO(file.read_end(stamp, stamp.size)))
    return rows


def _sha256(file: Any) -> str:
    return hashlib.file_digest(file, "sha256").hexdigest()


def _rows_of(file: IO[bytes]) -> int | None:
    try:
        return int(pq.read_metadata(file).num_rows)
    except pa.ArrowException:
        return None
