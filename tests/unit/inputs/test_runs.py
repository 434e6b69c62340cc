"""Runs of slices that one process reads: each slice once, in order, and no unit divided."""

from itertools import accumulate, pairwise

from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.inputs.runs import SLICES_PER_RUN, runs_of
from pipeline_lib.inputs.shards import Shard
from pipeline_lib.storage.location import FileStamp

STAMP = FileStamp(1, "")


def shard_of(rows: int, rows_per_slice: int, unit_starts: tuple[int, ...]) -> Shard:
    return Shard(0, "a", "parquet", STAMP, "", rows, (), rows_per_slice, unit_starts=unit_starts)


@given(
    groups=st.lists(st.integers(0, 900), min_size=1, max_size=30),
    rows_per_slice=st.integers(1, 64),
    left=st.integers(1, 5),
)
def test_each_slice_is_in_one_run_and_no_two_runs_share_a_row_group(
    groups: list[int], rows_per_slice: int, left: int
) -> None:
    starts = tuple(accumulate(groups, initial=0))[:-1]
    shard = shard_of(sum(groups), rows_per_slice, starts)
    parts = shard.slices[::left]  # some are done, as when a run is resumed
    runs = list(runs_of(shard, parts))
    assert [part for run in runs for part in run] == parts
    for before, after in pairwise(runs):
        assert len(before) >= SLICES_PER_RUN
        assert any(before[-1].first_row < start <= after[0].first_row for start in starts)
        late = [part.first_row for part in before[SLICES_PER_RUN - 1 :]]
        assert not any(late[0] < start <= late[-1] for start in starts), "a run ends as soon as it may"


def test_slices_that_can_be_read_alone_make_short_runs() -> None:
    shard = shard_of(100_000, 100, ())
    assert {len(run) for run in runs_of(shard, shard.slices[:-1])} == {SLICES_PER_RUN, 999 % SLICES_PER_RUN}


def test_what_is_decoded_from_its_start_is_one_run() -> None:
    shard = shard_of(100_000, 100, (0,))
    (run,) = runs_of(shard, shard.slices)
    assert run == shard.slices
