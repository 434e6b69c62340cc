"""Shards know of their slices without making them."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.inputs.shards import Shard
from pipeline_lib.storage.location import FileStamp


@given(rows=st.integers(0, 40), size=st.integers(1, 12), first=st.integers(-3, 45), run=st.integers(0, 15))
def test_a_run_of_rows_is_a_slice_exactly_if_it_is_among_them(rows: int, size: int, first: int, run: int) -> None:
    shard = Shard(0, "a.parquet", "parquet", FileStamp(1, "x"), "etag:x", rows, ("text",), size)
    slices = [(part.first_row, part.rows) for part in shard.slices]
    assert len(slices) == len(shard.starts)
    assert all(shard.has_slice(*part) for part in slices)
    assert shard.has_slice(first, run) == ((first, run) in slices)
