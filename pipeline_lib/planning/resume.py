"""What earlier attempts left in the output folder: what of it counts, and what must not be touched."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline_lib.errors import OutputError, listed
from pipeline_lib.inputs.shards import Shard
from pipeline_lib.machine.parallel import in_threads
from pipeline_lib.planning.score_reuse import can_reuse
from pipeline_lib.planning.version_changes import differences
from pipeline_lib.settings.settings import Settings
from pipeline_lib.storage import cleanup, integrity
from pipeline_lib.storage.location import Files, FileStamp
from pipeline_lib.storage.records import (
    ASIDE,
    LEASE,
    MANIFEST,
    NUMBERS,
    REJECTS,
    RUNS,
    STAGING,
    SUCCESS,
    FileRecord,
    Manifest,
    Receipt,
    Success,
    parse,
)
from pipeline_lib.storage.store_errors import translated_errors
from pipeline_lib.storage.urls import location_of


@dataclass(frozen=True)
class Output:
    """An output folder as one listing and its records tell it."""

    url: str
    files: Files
    success: Success | None
    """The mark of a complete version, or None where nothing is published."""
    manifest: Manifest | None
    whole: bool
    """Whether the manifest is the one that `_SUCCESS` was written for."""
    receipts: dict[str, tuple[FileStamp, Receipt | None]] = field(default_factory=dict)
    """Staged receipts that were read, by their path, as they were; kept, so that none is read twice."""
    verified: dict[str, FileStamp] = field(default_factory=dict)
    """Files that were read through and found to be what was written, as they were."""


@dataclass(frozen=True)
class Found:
    """What stands in an output folder."""

    published: Manifest | None
    """What readers see, if it is of the wanted version."""
    replaced: str | None
    """The version that readers see, if it is another one and may be replaced."""
    same_scores: Manifest | None
    """That version's manifest, if it has the wanted scores beside other columns."""
    receipts: tuple[Receipt, ...]
    """Of every slice that an attempt at this version finished, published or staged; not verified yet."""
    strangers: tuple[str, ...]
    """Files that readers see and that nobody can explain."""
    untidy: bool
    """Whether staged files of this version, or a lease, are left."""
    numbers_kept: bool
    """Whether an attempt at this version left the numbers that it gave the shards."""

    @property
    def numbers(self) -> dict[str, int]:
        """Numbers that shards were given already, by path."""
        return {receipt.path: receipt.shard for receipt in self.receipts}


def look_at(url: str, before: Output | None = None) -> Output:
    """Look at an output folder: one listing, and what its records say.

    Args:
        url: the folder.
        before: an earlier look, of which what did not change need not be read again.

    Raises:
        OutputError: one of this job's own folders in it, or the lease, is a link or a device.
        InputError: the bucket is not there, or may not be read.
        FaultError: the storage failed.
    """
    folder = location_of(url)
    with translated_errors(url, "looking at the output"):
        found = folder.files()
        for name in (REJECTS, RUNS, STAGING, ASIDE, LEASE):
            if name in found and not found[name].regular:
                raise OutputError(f"{url!r}: {name!r} in it is a link or a device, which this job did not make")
        success = integrity.read_success(folder) if SUCCESS in found else None
        content = (folder / MANIFEST).read() if MANIFEST in found else None
    whole = bool(success and content and hashlib.sha256(content).hexdigest() == success.manifest_sha256)
    return Output(
        url,
        found,
        success,
        parse(Manifest, content),
        whole,
        before.receipts if before else {},
        before.verified if before else {},
    )


def find(
    output: Output, version: str, fingerprint: Mapping[str, Any], settings: Settings, *, replace: bool
) -> Found:
    """Tell what of an output counts.

    Args:
        output: the look at it.
        version: the version that this run makes.
        fingerprint: what the version is the name of.
        settings: of the version that this run makes.
        replace: whether a version of other scores may be replaced.

    Raises:
        OutputError: another version is published, or the folder holds somebody else's data.
    """
    url, success, manifest = output.url, output.success, output.manifest
    other = manifest if output.whole and success and success.version != version else None
    same_scores = other if can_reuse(other, fingerprint) else None
    if success and success.version != version and not replace and not same_scores:
        why = differences(manifest, settings, fingerprint) if manifest else ""
        raise OutputError(
            f"{url!r} holds version {success.version}, this would be {version}: "
            f"{why or 'the checkpoint or a setting differs'}; "
            "publish it instead with --replace, or choose another output.path"
        )
    with translated_errors(url, "looking at the output"):
        strange = cleanup.foreign_files(location_of(url), manifest, output.files)
        if strange and manifest is None and not any(name.startswith(f"{STAGING}/") for name in output.files):
            raise OutputError(
                f"{url!r} already holds {listed(strange, 3)}, which this job did not write; "
                "choose a folder of its own"
            )
        staged = staged_receipts(output, version)
    ours = manifest if manifest and manifest.version == version else None
    # Of two receipts of a slice the staged one is newer.
    receipts = [*(ours.slices if ours else ()), *staged]
    newest = {(receipt.shard, receipt.first_row): receipt for receipt in receipts}
    return Found(
        published=ours if output.whole and success and success.version == version else None,
        replaced=success.version if success and success.version != version else None,
        same_scores=same_scores,
        receipts=tuple(newest.values()),
        strangers=tuple(strange),
        untidy=LEASE in output.files or any(name.startswith(f"{STAGING}/{version}/") for name in output.files),
        numbers_kept=f"{STAGING}/{version}/{NUMBERS}" in output.files,
    )


def standing(
    output: Output, shards: tuple[Shard, ...], receipts: tuple[Receipt, ...]
) -> tuple[tuple[Receipt, ...], tuple[str, ...]]:
    """Return the receipts whose slice is still wanted and whose files verify, and the files that don't.

    A store's own checksum verifies a file; where there is none it is read through, but in one run only once.
    """
    wanted = {(shard.number, shard.path, shard.stamp.size, shard.content): shard for shard in shards}

    def is_wanted(receipt: Receipt) -> bool:
        shard = wanted.get((receipt.shard, receipt.path, receipt.size, receipt.content))
        return shard is not None and shard.has(receipt.first_row, receipt.rows)

    checked = _checked(output, [receipt for receipt in receipts if is_wanted(receipt)])
    whole = tuple(receipt for receipt, lost in checked if not lost)
    return whole, tuple(name for _, lost in checked for name in lost)


def versions_in(output: Output) -> set[str]:
    """Return the versions that are published or staged in an output."""
    staged = {name.split("/")[1] for name in output.files if name.startswith(f"{STAGING}/") and name.count("/") > 1}
    return staged | ({output.success.version} if output.success else set())


def whole_ones(output: Output, receipts: Sequence[Receipt]) -> list[Receipt]:
    """Return the receipts whose files all stand and verify."""
    return [receipt for receipt, lost in _checked(output, receipts) if not lost]


def _checked(output: Output, receipts: Sequence[Receipt]) -> list[tuple[Receipt, list[str]]]:
    def broken(receipt: Receipt) -> list[str]:
        return [file.file for file in receipt.files if not _stands(output, receipt.version, file)]

    with translated_errors(output.url, "verifying earlier work"):
        return list(zip(receipts, in_threads(broken, receipts), strict=True))


def staged_receipts(output: Output, version: str) -> list[Receipt]:
    """Return the receipts that earlier attempts at this version left under `_staging/`."""
    staging = f"{STAGING}/{version}/"
    named = {
        name: entry
        for name, entry in output.files.items()
        if name.startswith(f"{staging}part-") and name.endswith(".json") and entry.regular
    }
    known = output.receipts
    fresh = [name for name, entry in named.items() if name not in known or known[name][0] != entry]
    for name, receipt in zip(fresh, integrity.read_receipts(location_of(output.url), fresh), strict=True):
        known[name] = (named[name], receipt)
    found = (known[name][1] for name in sorted(named))
    return [receipt for receipt in found if receipt and receipt.version == version]


def _stands(output: Output, version: str, record: FileRecord) -> bool:
    """Tell whether a file stands and verifies, staged or already moved."""
    for path in (f"{STAGING}/{version}/{record.file}", record.file):
        entry = output.files.get(path)
        if entry is None:
            continue
        if integrity.is_proven(entry, record) or output.verified.get(path) == entry:
            return True
        if integrity.fault(location_of(output.url) / path, record, entry) is None:
            output.verified[path] = entry
            return True
    return False


def refuse_lost_shards(published: Manifest | None, shards: tuple[Shard, ...]) -> None:
    """Refuse to publish without shards whose rows are published.

    Raises:
        OutputError: a published shard is no longer among the input.
    """
    lost = {record.path for record in published.shards} - {s.path for s in shards} if published else set()
    if lost:
        raise OutputError(
            f"the output holds rows of {listed(sorted(lost), 3)}, which the input no longer has; "
            "bring them back, publish without them with --replace, or choose another output.path"
        )
