"""Packing: a table of any types comes out as it went in."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.execution.transport import groups_of, pack, slice_rows, unpack
from pipeline_lib.inputs.shards import Slice


@given(
    texts=st.lists(st.none() | st.text()),
    ids=st.lists(st.lists(st.integers(-5, 5))),
    shard=st.integers(0, 9),
    row=st.integers(0, 2**40),
)
def test_a_slice_and_its_table_survive_packing(
    texts: list[str | None], ids: list[list[int]], shard: int, row: int
) -> None:
    rows = min(len(texts), len(ids))
    part = Slice(shard, row, rows, offset=row + 1, line=7)
    table = pa.table(
        {
            "text": pa.array(texts[:rows], pa.string()),
            "ids": pa.array(ids[:rows], pa.list_(pa.int32())),
            "kind": pa.array(texts[:rows], pa.string()).dictionary_encode(),
        }
    )
    packed = pack(part, table)
    assert packed.num_rows == 1
    found, back = unpack(packed)
    assert found == part
    assert back.equals(table)


@given(slices=st.integers(0, 3000), workers=st.integers(1, 40))
def test_groups_hold_each_slice_once_in_order_and_are_small_at_both_ends(slices: int, workers: int) -> None:
    parts = [Slice(0, row, 1) for row in range(slices)]
    groups = list(groups_of(parts, workers))
    assert [part for group in groups for part in group] == parts
    at = 0
    for group in groups:
        assert len(group) <= 8
        assert len(group) == 1 or len(group) * 8 * workers <= min(at, slices - at)
        at += len(group)


def test_slices_that_travel_together_are_told_apart() -> None:
    parts = [Slice(3, 0, 10, 70, 5), Slice(4, 20, 7)]
    table = slice_rows(*parts)
    assert [unpack(table.slice(row, 1))[0] for row in range(2)] == parts
