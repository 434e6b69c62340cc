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
    is_staged: bool = False
    """Whether some of it is staged alone, so that readers do not see it."""


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
        checks = list(in_threads(lambda each: _checked(output, each[0], f"{JOINED}/"), made))
        whole = _apart([each for each, check in zip(made, checks, strict=True) if not check.others])
        in_joined = {_place(receipt) for _, slices in whole for receipt in slices}
        own = [receipt for place, receipt in by_place.items() if place not in in_joined]
        own_checks = list(in_threads(lambda receipt: _checked(output, receipt), own))
    unfinished = {_place(each): check.others for each, check in zip(own, own_checks, strict=True) if check.others}
    were_joined = {_place(receipt) for _, slices in made for receipt in slices}
    damaged = [path for check in checks for paths in check.others.values() for path in paths]
    for place, others in unfinished.items():
        # The own files of a slice that was joined are gone, and the joined file is named already.
        damaged += [
            path for name, paths in others.items() for path in paths or [name] if paths or place not in were_joined
        ]
    return VerifiedWork(
        finished=tuple(receipt for place, receipt in by_place.items() if place not in unfinished),
        joined=tuple(file for file, _ in whole),
        damaged=tuple(dict.fromkeys(damaged)),
        is_staged=any(check.is_staged for check in [*checks, *own_checks]),
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


@dataclass(frozen=True)
class _Checked:
    """Where the files are that were written for some rows."""

    others: dict[str, list[str]]
    """By the name of each file that is not whole anywhere, the paths at which there is another one."""
    is_staged: bool
    """Whether a file is whole, but not at the place where readers find it."""


def _checked(output: OutputState, stored: StoredRows, below: str = "") -> _Checked:
    """Look for the files of some rows.

    Args:
        output: the state of the output folder.
        stored: what was written.
        below: the folder of the staged files, below that of their version.
    """
    others: dict[str, list[str]] = {}
    is_staged = False
    for record in stored.files:
        found, wrong = _find(output, record, (record.file, f"{STAGING}/{stored.version}/{below}{record.file}"))
        is_staged = is_staged or found not in {None, record.file}
        if found is None:
            others[record.file] = wrong
    return _Checked(others, is_staged)


def _find(output: OutputState, record: FileRecord, paths: Sequence[str]) -> tuple[str | None, list[str]]:
    """Return the first path at which there is the file that was written, or None and the paths of other files."""
    folder = location_of(output.url)
    entries = {path: output.files[path] for path in paths if path in output.files}
    for path, entry in entries.items():
        if integrity.is_proven(entry, record) or output.verified.get(path) == entry:
            return path, []
    if not folder.is_local:  # the listing may be older than the files
        entries = {path: now for path in paths if (now := (folder / path).stamp_now())}
        for path, entry in entries.items():
            if integrity.is_proven(entry, record):
                return path, []
    for path, entry in entries.items():
        if integrity.fault(folder / path, record, entry) is None:
            output.verified[path] = entry
            return path, []
    return None, list(entries)
