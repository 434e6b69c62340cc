"""Accounting: rows in == scored + rejected for every shard, counted again in the files that will be published."""

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipeline_lib.errors import FaultError
from pipeline_lib.machine.parallel import in_threads
from pipeline_lib.planning.plan import Plan
from pipeline_lib.storage import integrity
from pipeline_lib.storage.location import Files, FileStamp, Location
from pipeline_lib.storage.records import JOINED, STAGING, FileRecord, JoinedFile, StoredRows


@dataclass(frozen=True)
class CurrentFile:
    """A file that will be published, as it is now."""

    path: str
    """Path below the output."""
    stamp: FileStamp
    rows: int | None
    """Number of rows by its footer; None if it has none."""


CurrentFiles = Mapping[str, CurrentFile]
"""By the name that a file will be published under."""


def current_files(stored: Sequence[StoredRows], output: Location, files: Files) -> CurrentFiles:
    """Return where each file that will be published is now, staged or published already, and its rows.

    Args:
        stored: joined files, and slices with files of their own.
        output: the output folder.
        files: a listing of it; in a store each file is read, so that nothing depends on the listing.

    Raises:
        FaultError: a file is missing or is not the one that was written.
    """
    records = [(staging_of(each), file) for each in stored for file in each.files]
    current = in_threads(lambda each: _current_file(output, *each, files), records)
    return {file.file: each for (_, file), each in zip(records, current, strict=True)}


def check_rows_add_up(plan: Plan, stored: Sequence[StoredRows], current: CurrentFiles) -> None:
    """Check rows in == scored + rejected for every shard, by the footers of the files and not by the records.

    Raises:
        FaultError: a file or a shard has another number of rows than expected.
    """
    files = [(each.shard, file) for each in stored for file in each.files]
    rows_of_shard: Counter[int] = Counter()
    for number, file in files:
        path, rows = current[file.file].path, current[file.file].rows
        if rows is None or rows != file.rows:
            raise FaultError(f"{path!r} has {rows} rows, expected {file.rows}; run again")
        rows_of_shard[number] += rows
    for shard in plan.shards:
        if rows_of_shard[shard.number] != shard.rows:
            raise FaultError(
                f"{shard.path!r}: {shard.rows:,} rows in, {rows_of_shard[shard.number]:,} scored or rejected; "
                "nothing is published"
            )


def published_stamps(output: Location, current: CurrentFiles, records: Sequence[FileRecord], files: Files) -> Files:
    """Return the stamps of published files: by a listing, or asked for where a listing of a store may be too old.

    Args:
        output: the output folder.
        current: where the files were before they were published.
        records: what was written.
        files: a listing after they were published.
    """

    def stamp_of(record: FileRecord) -> FileStamp | None:
        listed = files.get(record.file)
        is_recent = listed and (listed == current[record.file].stamp or integrity.is_proven(listed, record))
        return listed if output.is_local or is_recent else (output / record.file).stamp_now()

    stamps = zip(records, in_threads(stamp_of, records), strict=True)
    return {record.file: stamp for record, stamp in stamps if stamp}


def staging_of(stored: StoredRows) -> str:
    """Return the folder below the output in which files are staged."""
    staging = f"{STAGING}/{stored.version}"
    return f"{staging}/{JOINED}" if isinstance(stored, JoinedFile) else staging


def _current_file(output: Location, staging: str, record: FileRecord, files: Files) -> CurrentFile:
    for path, stamp in _candidates(output, (f"{staging}/{record.file}", record.file), files):
        if _is_written(output / path, record, stamp):
            with contextlib.suppress(FileNotFoundError):  # a listing shows what has gone
                return CurrentFile(path, stamp, integrity.count_rows(output / path, stamp))
    raise FaultError(f"{record.file!r}, staged or published, was removed or changed while the job ran; run again")


def _candidates(output: Location, paths: Sequence[str], files: Files) -> Iterator[tuple[str, FileStamp]]:
    """Yield the first listed of some paths with its stamp; then, of a store, each as it answers when asked."""
    listed = [path for path in paths if path in files]
    yield from ((path, files[path]) for path in listed[:1])
    if not output.is_local:
        asked = ((path, (output / path).stamp_now()) for path in paths)
        yield from ((path, stamp) for path, stamp in asked if stamp)


def _is_written(file: Location, record: FileRecord, stamp: FileStamp) -> bool:
    """Tell whether a file is the one that was written, as far as its size and the store's checksum tell."""
    if not stamp.regular or stamp.size != record.bytes:
        return False
    return not stamp.etag or integrity.is_proven(stamp, record) or integrity.fault(file, record, stamp) is None
