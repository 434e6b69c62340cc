"""Packing: a table of any types comes out as it went in."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.packing import pack, unpack
from pipeline_lib.shards import Slice


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
