"""Which files of earlier attempts stand: whole, unchanged, and of the version that is wanted."""

import io
from collections.abc import Sequence
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline_lib.machine.parallel import in_threads
from pipeline_lib.storage import files as storage
from pipeline_lib.storage.file_tree import Entry
from pipeline_lib.storage.records import SUCCESS, VERSION_KEY, FileRecord, Receipt, Success, parse

_FOOTER_BYTES = 64 << 10


def read_success(fs: Any, folder: str) -> Success | None:
    """Return the mark of a complete version, or None where nothing is published."""
    return parse(Success, storage.read_bytes(fs, f"{folder}/{SUCCESS}"))


def read_receipts(fs: Any, folder: str, names: Sequence[str]) -> list[Receipt | None]:
    """Return receipts by their names below a folder; None for what is no receipt that this program wrote."""

    def read(name: str) -> Receipt | None:
        return parse(Receipt, storage.read_bytes(fs, f"{folder}/{name}"))

    return list(in_threads(read, names))


def is_proven(entry: Entry, record: FileRecord) -> bool:
    """Tell whether the store's own checksum says that a file is what was written, so that it need not be read."""
    return entry.regular and entry.etag and entry.size == record.bytes and entry.tag in record.etags


def fault(fs: Any, path: str, record: FileRecord, entry: Entry | None) -> str | None:
    """Return what is wrong with a file, or None if it is the one that was written; the file is read through.

    Looked at are size, hash, footer and row count: a size alone proves nothing.
    """
    if entry is None:
        return "is missing"
    if not entry.regular:
        return "is a link or a device"
    if entry.size != record.bytes:
        return f"has {entry.size:,} bytes, expected {record.bytes:,}"
    try:
        with storage.open_ours(fs, path) as file:
            if storage.sha256_of(file) != record.sha256:
                return "has other content than was written"
            file.seek(0)
            rows = _rows_of(file)
    except FileNotFoundError:
        return "is missing"
    return None if rows == record.rows else f"has {rows} rows, expected {record.rows}"


def other_version(fs: Any, path: str, version: str) -> str | None:
    """Return what is wrong with the version that a file's footer tells, or None."""
    with storage.open_ours(fs, path) as file:
        found = (pq.read_schema(file).metadata or {}).get(VERSION_KEY.encode(), b"none").decode(errors="replace")
    return None if found == version else f"is of version {found}"


def count_rows(fs: Any, path: str, size: int) -> int | None:
    """Return the rows that a Parquet file's footer tells, or None if it has no footer.

    Args:
        fs: where the file is.
        path: the file.
        size: its bytes; a store is asked for the last of them alone, by one request.
    """
    if storage.is_local(fs):
        with storage.open_regular(path) as file:
            return _rows_of(file)
    rows = _rows_of(io.BytesIO(storage.read_end(fs, path, size, _FOOTER_BYTES)))
    if rows is None and size > _FOOTER_BYTES:  # a footer of many columns
        rows = _rows_of(io.BytesIO(storage.read_end(fs, path, size, size)))
    return rows


def _rows_of(file: IO[bytes]) -> int | None:
    try:
        return int(pq.read_metadata(file).num_rows)
    except pa.ArrowException:
        return None
