"""Which files of earlier attempts stand: whole, unchanged, and of the version that is wanted."""

import hashlib
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline_lib import storage
from pipeline_lib.manifest import (
    MANIFEST,
    STAGING,
    SUCCESS,
    VERSION_KEY,
    FileRecord,
    Manifest,
    Receipt,
    Success,
    parse,
)
from pipeline_lib.threads import in_threads


def read_success(fs: Any, folder: str) -> Success | None:
    """Return the mark of a complete version, or None where nothing is published."""
    return parse(Success, storage.read_bytes(fs, f"{folder}/{SUCCESS}"))


def read_manifest(fs: Any, folder: str) -> Manifest | None:
    """Return the manifest, or None where there is none that can be read."""
    return parse(Manifest, storage.read_bytes(fs, f"{folder}/{MANIFEST}"))


def belongs(fs: Any, folder: str, success: Success) -> bool:
    """Tell whether the manifest is the one that `_SUCCESS` was written for."""
    content = storage.read_bytes(fs, f"{folder}/{MANIFEST}") or b""
    return hashlib.sha256(content).hexdigest() == success.manifest_sha256


def staged_receipts(fs: Any, folder: str, version: str) -> list[Receipt]:
    """Return the receipts that earlier attempts at this version left under `_staging/`."""
    staging = f"{folder}/{STAGING}/{version}"
    names = [name for name in storage.names_in(fs, staging) if name.endswith(".json") and name[0] != "."]
    found = in_threads(lambda name: parse(Receipt, storage.read_bytes(fs, f"{staging}/{name}")), names)
    return [receipt for receipt in found if receipt and receipt.version == version]


def place(fs: Any, folder: str, version: str, record: FileRecord) -> str | None:
    """Return where a file stands and verifies, staged or already moved, or None."""
    for path in (f"{folder}/{STAGING}/{version}/{record.file}", f"{folder}/{record.file}"):
        if fault(fs, path, record) is None:
            return path
    return None


def fault(fs: Any, path: str, record: FileRecord) -> str | None:
    """Return what is wrong with a file, or None if it is the one that was written.

    Looked at are size, hash, footer and row count: a size alone proves nothing.
    """
    try:
        size = storage.stamp(fs, path).size
    except FileNotFoundError:
        return "is missing"
    if size != record.bytes:
        return f"has {size:,} bytes, expected {record.bytes:,}"
    if storage.sha256(fs, path) != record.sha256:
        return "has other content than was written"
    rows = count_rows(fs, path)
    return None if rows == record.rows else f"has {rows} rows, expected {record.rows}"


def other_version(fs: Any, path: str, version: str) -> str | None:
    """Return what is wrong with the version that a file's footer tells, or None."""
    with fs.open(path, "rb") as file:
        found = (pq.read_schema(file).metadata or {}).get(VERSION_KEY.encode(), b"none").decode()
    return None if found == version else f"is of version {found}"


def count_rows(fs: Any, path: str) -> int | None:
    """Return the rows that a Parquet file's footer tells, or None if it has no footer."""
    with fs.open(path, "rb") as file:
        try:
            return int(pq.read_metadata(file).num_rows)
        except pa.ArrowException:
            return None


def check_all(fs: Any, folder: str, receipts: list[Receipt]) -> Iterator[tuple[Receipt, list[str]]]:
    """Yield each receipt with those of its files that stand nowhere, several files at a time."""

    def broken(receipt: Receipt) -> list[str]:
        return [file.file for file in receipt.files if place(fs, folder, receipt.version, file) is None]

    yield from zip(receipts, in_threads(broken, receipts), strict=True)
