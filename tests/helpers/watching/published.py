"""A published output as its readers see it: whole versions, or none."""

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq


def published_hashes(folder: Path) -> dict[str, str]:
    """Return the hash of every published file: all but records of runs, metrics, page, and what was set aside."""
    private = {"_runs", "_aside", "_metrics.json", "_report.html"}
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not private & set(path.relative_to(folder).parts)
    }


def read_version(folder: Path) -> tuple[str, int] | None:
    """Read an output on a disk as its users are told to; see `read_whole_version`."""
    return read_whole_version(
        lambda: _success(folder),
        lambda: [pq.read_table(path) for path in sorted(folder.glob("part-*.parquet"))],
    )


def read_whole_version(
    read_success: Callable[[], bytes | None], read_parts: Callable[[], list[pa.Table]]
) -> tuple[str, int] | None:
    """Read an output as its users are told to; return its version and rows, or None if it was not to be had.

    `_SUCCESS` is looked at before and after: what was read in between counts only if it stayed the same.
    """
    before = read_success()
    if before is None:
        return None
    said = json.loads(before)
    try:
        tables = read_parts()
    except (OSError, pa.ArrowException):
        if read_success() != before:
            return None  # moved away or over while it was read
        raise
    if read_success() != before:
        return None
    versions = {(table.schema.metadata or {})[b"nightscore.version"].decode() for table in tables}
    rows = sum(table.num_rows for table in tables)
    if versions != {said["version"]} or rows != said["scored"]:
        raise AssertionError(f"a mixed version: {versions} with {rows} rows, _SUCCESS says {said}")
    return said["version"], rows


def _success(folder: Path) -> bytes | None:
    try:
        return (folder / "_SUCCESS").read_bytes()
    except FileNotFoundError:
        return None


@dataclass
class Poller:
    """Reads an output again and again, in a thread, for as long as it is open."""

    folder: Path
    whole: Counter[tuple[str, int]] = field(default_factory=Counter)
    waits: int = 0
    faults: list[str] = field(default_factory=list)
    pause: float = 0.02

    def read(self) -> tuple[str, int] | None:
        """Return the version and its rows, or None if it was not to be had."""
        return read_version(self.folder)

    def __enter__(self) -> Self:
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _poll(self) -> None:
        while not self._done.wait(self.pause):
            try:
                found = self.read()
            except Exception as error:  # noqa: BLE001 - whatever a reader would stumble over
                self.faults.append(f"{type(error).__name__}: {error}")
                continue
            if found:
                self.whole[found] += 1
            else:
                self.waits += 1
