"""The state of an output folder: one listing of its files, and what the records among them say."""

import hashlib
from dataclasses import dataclass, field

from pipeline_lib.errors import OutputError
from pipeline_lib.storage import integrity
from pipeline_lib.storage.location import Files, FileStamp
from pipeline_lib.storage.records import (
    ASIDE,
    JOINED,
    LEASE,
    MANIFEST,
    REJECTS,
    RUNS,
    STAGING,
    JoinedFile,
    Manifest,
    Receipt,
    Success,
    parse,
)
from pipeline_lib.storage.store_errors import translated_errors
from pipeline_lib.storage.urls import location_of


@dataclass(frozen=True)
class OutputState:
    """An output folder at the moment when it was listed."""

    url: str
    files: Files
    success: Success | None
    """The content of `_SUCCESS`, or None where nothing is published."""
    manifest: Manifest | None
    is_complete: bool
    """Whether the manifest is the one that `_SUCCESS` was written for."""
    receipts: dict[str, tuple[FileStamp, Receipt | None]] = field(default_factory=dict)
    """Cache of staged receipts by path, with the state of the file that was read, so that none is read twice."""
    verified: dict[str, FileStamp] = field(default_factory=dict)
    """Cache of files whose hash was right, by path, with the state of the file that was hashed."""

    @property
    def versions(self) -> set[str]:
        """The versions that are published or staged."""
        names = (name.split("/") for name in self.files if name.startswith(f"{STAGING}/"))
        staged = {parts[1] for parts in names if len(parts) > 2}
        return staged | ({self.success.version} if self.success else set())

    def has_staged(self, version: str) -> bool:
        """Tell whether any file is staged for a version."""
        return any(path.startswith(f"{STAGING}/{version}/") for path in self.files)


def read_output(url: str, previous: OutputState | None = None) -> OutputState:
    """List an output folder and read its records.

    In a store the listing may be a little older than the files. What it lacks or shows besides is asked for where
    something depends on it.

    Args:
        url: the folder.
        previous: an earlier state of it, whose caches are used again.

    Raises:
        OutputError: the lease, or a folder with a name of this job's, is a link or a device.
        InputError: the bucket does not exist, or access to it is denied.
        FaultError: the storage failed.
    """
    folder = location_of(url)
    with translated_errors(url, "looking at the output"):
        files = folder.files()
        for name in (REJECTS, RUNS, STAGING, ASIDE, LEASE):
            if name in files and not files[name].regular:
                raise OutputError(f"{url!r}: {name!r} in it is a link or a device, which this job did not make")
        # Read even if the listing lacks them: what is published must never be taken for nothing.
        success = integrity.read_success(folder)
        content = (folder / MANIFEST).read()
    is_complete = bool(success and content and hashlib.sha256(content).hexdigest() == success.manifest_sha256)
    caches = (previous.receipts, previous.verified) if previous else ({}, {})
    return OutputState(url, files, success, parse(Manifest, content), is_complete, *caches)


def staged_receipts(output: OutputState, version: str) -> list[Receipt]:
    """Return the receipts that earlier runs of this version left under `_staging/`."""
    entries = _records_below(output, f"{STAGING}/{version}")
    cache = output.receipts
    unread = [name for name, entry in entries.items() if name not in cache or cache[name][0] != entry]
    for name, receipt in zip(unread, integrity.read_receipts(location_of(output.url), unread), strict=True):
        cache[name] = (entries[name], receipt)
    receipts = (cache[name][1] for name in sorted(entries))
    return [receipt for receipt in receipts if receipt and receipt.version == version]


def staged_joined_files(output: OutputState, version: str) -> list[JoinedFile]:
    """Return the records of files that earlier runs of this version joined slices into, under `_staging/`."""
    names = sorted(_records_below(output, f"{STAGING}/{version}/{JOINED}"))
    records = integrity.read_joined_files(location_of(output.url), names)
    return [record for record in records if record and record.version == version]


def _records_below(output: OutputState, folder: str) -> Files:
    return {
        name: entry
        for name, entry in output.files.items()
        if name.startswith(f"{folder}/part-") and name.endswith(".json") and entry.regular
    }
