"""Which slices are in which file: all of them once, within the limits, and the same after any kill."""

import hashlib
import itertools

from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.publishing.files.layout import FileLimits, cut_into_files
from pipeline_lib.storage.records import FileRecord, Receipt

Shards = list[list[tuple[int, int]]]
"""(Rows, bytes) of the slices of each shard."""

shards_of_slices = st.lists(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=12), min_size=1, max_size=4
)
limits_of_files = st.builds(FileLimits, st.integers(1, 30), st.integers(1, 30))


def receipts_of(shards: Shards) -> list[Receipt]:
    """Return the receipts of slices that have no rejects."""
    receipts = []
    for shard, slices in enumerate(shards):
        first_row = 0
        for rows, size in slices:
            name = f"part-{shard:05d}-{first_row:09d}.parquet"
            sha256 = hashlib.sha256(name.encode()).hexdigest()
            part = FileRecord(file=name, rows=rows, bytes=size, sha256=sha256)
            receipts.append(
                Receipt(
                    version="0" * 16,
                    shard=shard,
                    first_row=first_row,
                    rows=rows,
                    part=part,
                    rejects=None,
                    path="a.parquet",
                    size=1,
                    content="etag:1",
                )
            )
            first_row += rows
    return receipts


def places(files: list[list[Receipt]]) -> list[list[tuple[int, int]]]:
    """Return the slices of files."""
    return [[(receipt.shard, receipt.first_row) for receipt in file] for file in files]


@given(shards_of_slices, limits_of_files)
def test_each_slice_is_in_one_file_which_has_one_shard_and_no_more_than_the_limits(
    shards: Shards, limits: FileLimits
) -> None:
    receipts = receipts_of(shards)
    files = cut_into_files(receipts, set(), limits)
    assert [receipt for file in files for receipt in file] == receipts
    for file in files:
        assert len({receipt.shard for receipt in file}) == 1
        assert len(file) == 1 or sum(receipt.rows for receipt in file) <= limits.rows
        assert len(file) == 1 or sum(receipt.part.bytes for receipt in file) <= limits.bytes
    for file, following in itertools.pairwise(files):
        joined = [*file, following[0]]
        assert (
            file[0].shard != following[0].shard
            or sum(receipt.rows for receipt in joined) > limits.rows
            or sum(receipt.part.bytes for receipt in joined) > limits.bytes
        ), "there was room for another slice"


@given(shards_of_slices, limits_of_files, st.data())
def test_whichever_files_a_killed_run_finished_the_others_are_cut_as_without_the_kill(
    shards: Shards, limits: FileLimits, data: st.DataObject
) -> None:
    receipts = receipts_of(shards)
    files = places(cut_into_files(receipts, set(), limits))
    finished = data.draw(st.lists(st.sampled_from(files), max_size=len(files)))
    left = places(cut_into_files(receipts, {place for file in finished for place in file}, limits))
    assert left == [file for file in files if file not in finished]
