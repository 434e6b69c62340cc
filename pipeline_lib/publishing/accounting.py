"""Accounting: rows in == scored + rejected for every shard, counted again in the files that will be published."""

from collections import Counter
from collections.abc import Mapping, Sequence

from pipeline_lib.errors import FaultError
from pipeline_lib.machine.parallel import in_threads
from pipeline_lib.planning.plan import Plan
from pipeline_lib.storage import integrity
from pipeline_lib.storage.location import Files, FileStamp, Location
from pipeline_lib.storage.records import STAGING, FileRecord, Receipt

CurrentFiles = Mapping[str, tuple[str, FileStamp]]
"""By the name that a file will be published under: its path below the output now, and its stamp."""


def current_files(receipts: Sequence[Receipt], files: Files) -> CurrentFiles:
    """Return where each file of the receipts is now: staged, or published by an earlier attempt.

    Raises:
        FaultError: a file is missing or has another size.
    """
    current = {}
    for receipt in receipts:
        for file in receipt.files:
            staged = f"{STAGING}/{receipt.version}/{file.file}"
            path = staged if staged in files else file.file
            stamp = files.get(path)
            if stamp is None or not stamp.regular or stamp.size != file.bytes:
                raise FaultError(f"{path!r} was removed or changed while the job ran; run again")
            current[file.file] = path, stamp
    return current


def check_rows_add_up(plan: Plan, receipts: Sequence[Receipt], output: Location, current: CurrentFiles) -> None:
    """Check rows in == scored + rejected for every shard, by the footers of the files and not by the receipts.

    Raises:
        FaultError: a file or a shard has another number of rows than expected.
    """
    files = [(receipt.shard, file) for receipt in receipts for file in receipt.files]

    def rows_of(file: FileRecord) -> int | None:
        path, stamp = current[file.file]
        return integrity.count_rows(output / path, stamp.size)

    rows_of_shard: Counter[int] = Counter()
    counted = in_threads(rows_of, [file for _, file in files])
    for (number, file), rows in zip(files, counted, strict=True):
        if rows is None or rows != file.rows:
            raise FaultError(f"{current[file.file][0]!r} has {rows} rows, expected {file.rows}; run again")
        rows_of_shard[number] += rows
    for shard in plan.shards:
        if rows_of_shard[shard.number] != shard.rows:
            raise FaultError(
                f"{shard.path!r}: {shard.rows:,} rows in, {rows_of_shard[shard.number]:,} scored or rejected; "
                "nothing is published"
            )
