"""Which slices are in which file. Pure: their sizes alone decide, whichever runs made them."""

from collections.abc import Container, Iterable
from dataclasses import dataclass

from pipeline_lib.storage.records import Receipt

BYTES_PER_FILE = 128 << 20
"""Most bytes that the files of the slices in one file may have together."""


@dataclass(frozen=True)
class FileLimits:
    """What a file may have at most; one slice may have more."""

    rows: int
    """Rows of the shard, with a score or without."""
    bytes: int = BYTES_PER_FILE


def cut_into_files(
    receipts: Iterable[Receipt], settled: Container[tuple[int, int]], limits: FileLimits
) -> list[list[Receipt]]:
    """Return the slices of each file that is to be made: from the first slice on, as many as the limits allow.

    A file that a killed run finished ends where it would have ended without the kill. So the slices between two
    such files are cut as they would have been.

    Args:
        receipts: of slices, in the order of shards and rows.
        settled: (number of the shard, first row) of the slices that are in finished files.
        limits: what a file may have.
    """
    files: list[list[Receipt]] = []
    next_place, rows, size = (-1, -1), 0, 0
    for receipt in receipts:
        if (receipt.shard, receipt.first_row) in settled:
            continue
        own_size = sum(file.bytes for file in receipt.files)
        follows = (receipt.shard, receipt.first_row) == next_place
        if follows and rows + receipt.rows <= limits.rows and size + own_size <= limits.bytes:
            files[-1].append(receipt)
        else:
            files.append([receipt])
            rows, size = 0, 0
        rows, size = rows + receipt.rows, size + own_size
        next_place = (receipt.shard, receipt.first_row + receipt.rows)
    return files
