"""Verification of earlier work: a slice is skipped only if its files are whole, by hash or the store's checksum."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline_lib.inputs.shards import Shard
from pipeline_lib.machine.parallel import in_threads
from pipeline_lib.planning.resume.output_state import OutputState
from pipeline_lib.storage import integrity
from pipeline_lib.storage.records import JOINED, STAGING, FileRecord, JoinedFile, Receipt, StoredRows, digest_of
from pipeline_lib.storage.store_errors import translated_errors
from pipeline_lib.storage.urls import location_of

Slices = tuple[Receipt, ...]


@dataclass(frozen=True)
class VerifiedWork:
    """What of earlier work is whole."""

    finished: Slices = ()
    """Receipts of slices whose rows are in whole files: their own, or one that they were joined into."""
    joined: tuple[JoinedFile, ...] = ()
    """Whole files that some of these slices were joined into."""
    damaged: tuple[str, ...] = ()
    """Paths below the output of files that are not what was written, or are missing."""


def finished_slices(
    output: OutputState,
    shards: tuple[Shard, ...],
    receipts: Sequence[Receipt],
    joined: Sequence[JoinedFile] = (),
) -> VerifiedWork:
    """Return the slices of these shards whose files are whole.

    A store's own checksum verifies a file; where there is none the file is hashed, only once in a run.

    Args:
        output: the state of the output folder.
        shards: all of the input.
        receipts: of slices, one of each.
        joined: files that slices were joined into.
    """
    by_content = {(shard.number, shard.path, shard.stamp.size, shard.content): shard for shard in shards}

    def is_wanted(receipt: Receipt) -> bool:
        shard = by_content.get((receipt.shard, receipt.path, receipt.size, receipt.content))
        return shard is not None and shard.has_slice(receipt.first_row, receipt.rows)

    return with_whole_files(output, [receipt for receipt in receipts if is_wanted(receipt)], joined)


def with_whole_files(
    output: OutputState, receipts: Sequence[Receipt], joined: Sequence[JoinedFile] = ()
) -> VerifiedWork:
    """Return the slices whose files are whole, whatever their shards are now; see `finished_slices`."""
    by_place = {_place(receipt): receipt for receipt in receipts}
    made = [(file, slices) for file in joined if (slices := _slices_of(file, by_place))]
    with translated_errors(output.url, "verifying earlier work"):
        faults = list(in_threads(lambda each: _faults(output, each[0], f"{JOINED}/"), made))
        whole = _apart([each for each, fault in zip(made, faults, strict=True) if not fault])
        in_joined = {_place(receipt) for _, slices in whole for receipt in slices}
        own = [receipt for place, receipt in by_place.items() if place not in in_joined]
        own_faults = list(in_threads(lambda receipt: _faults(output, receipt), own))
    unfinished = {_place(receipt): fault for receipt, fault in zip(own, own_faults, strict=True) if fault}
    were_joined = {_place(receipt) for _, slices in made for receipt in slices}
    damaged = [path for fault in faults for paths in fault.values() for path in paths]
    for place, fault in unfinished.items():
        # The own files of a slice that was joined are gone, and the joined file is named already.
        damaged += [
            path for name, paths in fault.items() for path in paths or [name] if paths or place not in were_joined
        ]
    return VerifiedWork(
        finished=tuple(receipt for place, receipt in by_place.items() if place not in unfinished),
        joined=tuple(file for file, _ in whole),
        damaged=tuple(dict.fromkeys(damaged)),
    )


def _place(receipt: Receipt) -> tuple[int, int]:
    return receipt.shard, receipt.first_row


def _slices_of(file: JoinedFile, receipts: Mapping[tuple[int, int], Receipt]) -> Slices:
    """Return the slices that a file was made of, or none if one of them is missing or is another one by now."""
    slices: list[Receipt] = []
    at, end = file.first_row, file.first_row + file.rows
    while at < end and (receipt := receipts.get((file.shard, at))) and receipt.rows:
        slices.append(receipt)
        at += receipt.rows
    return tuple(slices) if at == end and digest_of(slices) == file.made_of else ()


def _apart(made: Sequence[tuple[JoinedFile, Slices]]) -> list[tuple[JoinedFile, Slices]]:
    """Return files of which no two have the same slice; the first one of several counts."""
    taken: set[tuple[int, int]] = set()
    kept: list[tuple[JoinedFile, Slices]] = []
    for file, slices in made:
        places = {_place(receipt) for receipt in slices}
        if not places & taken:
            taken |= places
            kept.append((file, slices))
    return kept


def _faults(output: OutputState, stored: StoredRows, below: str = "") -> dict[str, list[str]]:
    """Return the names of the files that are not whole, each with the paths at which there is another file.

    Args:
        output: the state of the output folder.
        stored: what was written.
        below: the folder of the staged files, below that of their version.
    """
    found: dict[str, list[str]] = {}
    for record in stored.files:
        paths = (f"{STAGING}/{stored.version}/{below}{record.file}", record.file)
        others = _others(output, record, paths)
        if others is not None:
            found[record.file] = others
    return found


def _others(output: OutputState, record: FileRecord, paths: Sequence[str]) -> list[str] | None:
    """Return None if a file that was written is at one of its paths, else those at which there is another one."""
    folder = location_of(output.url)
    entries = {path: output.files[path] for path in paths if path in output.files}
    if any(
        integrity.is_proven(entry, record) or output.verified.get(path) == entry for path, entry in entries.items()
    ):
        return None
    if not folder.is_local:  # the listing may be older than the files
        entries = {path: now for path in paths if (now := (folder / path).stamp_now())}
        if any(integrity.is_proven(entry, record) for entry in entries.values()):
            return None
    for path, entry in entries.items():
        if integrity.fault(folder / path, record, entry) is None:
            output.verified[path] = entry
            return None
    return list(entries)
