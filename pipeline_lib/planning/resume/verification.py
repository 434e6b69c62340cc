"""Verification of earlier work: a slice is skipped only if its files are whole, by hash or the store's checksum."""

from collections.abc import Sequence

from pipeline_lib.inputs.shards import Shard
from pipeline_lib.machine.parallel import in_threads
from pipeline_lib.planning.resume.output_state import OutputState
from pipeline_lib.storage import integrity
from pipeline_lib.storage.records import STAGING, FileRecord, Receipt
from pipeline_lib.storage.store_errors import translated_errors
from pipeline_lib.storage.urls import location_of


def finished_slices(
    output: OutputState, shards: tuple[Shard, ...], receipts: Sequence[Receipt]
) -> tuple[tuple[Receipt, ...], tuple[str, ...]]:
    """Return the receipts of slices of these shards whose files are whole, and the names of the damaged files.

    A store's own checksum verifies a file; where there is none the file is hashed, only once in a run.
    """
    by_content = {(shard.number, shard.path, shard.stamp.size, shard.content): shard for shard in shards}

    def is_wanted(receipt: Receipt) -> bool:
        shard = by_content.get((receipt.shard, receipt.path, receipt.size, receipt.content))
        return shard is not None and shard.has_slice(receipt.first_row, receipt.rows)

    checked = _with_damage(output, [receipt for receipt in receipts if is_wanted(receipt)])
    finished = tuple(receipt for receipt, damaged in checked if not damaged)
    return finished, tuple(name for _, damaged in checked for name in damaged)


def with_whole_files(output: OutputState, receipts: Sequence[Receipt]) -> list[Receipt]:
    """Return the receipts whose files are all whole."""
    return [receipt for receipt, damaged in _with_damage(output, receipts) if not damaged]


def _with_damage(output: OutputState, receipts: Sequence[Receipt]) -> list[tuple[Receipt, list[str]]]:
    """Return each receipt with the names of its files that are missing or differ from what was written."""

    def damaged(receipt: Receipt) -> list[str]:
        return [file.file for file in receipt.files if not _is_whole(output, receipt.version, file)]

    with translated_errors(output.url, "verifying earlier work"):
        return list(zip(receipts, in_threads(damaged, receipts), strict=True))


def _is_whole(output: OutputState, version: str, record: FileRecord) -> bool:
    """Tell whether a file, staged or published, is the one that was written."""
    folder = location_of(output.url)
    paths = (f"{STAGING}/{version}/{record.file}", record.file)
    entries = {path: output.files[path] for path in paths if path in output.files}
    if any(
        integrity.is_proven(entry, record) or output.verified.get(path) == entry for path, entry in entries.items()
    ):
        return True
    if not folder.is_local:  # the listing may be older than the files
        entries = {path: now for path in paths if (now := (folder / path).stamp_now())}
        if any(integrity.is_proven(entry, record) for entry in entries.values()):
            return True
    for path, entry in entries.items():
        if integrity.fault(folder / path, record, entry) is None:
            output.verified[path] = entry
            return True
    return False
