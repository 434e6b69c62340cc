"""Rows that come in small tables are written in groups of a size of their own."""

import hashlib
import io

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.publishing.files.row_groups import BYTES, ROWS, HashedFile, row_groups, write_row_groups


@given(st.lists(st.integers(0, 30), max_size=12), st.integers(1, 20))
def test_groups_have_the_rows_in_their_order_whatever_tables_they_come_in(sizes: list[int], rows: int) -> None:
    table = pa.table({"row": range(sum(sizes))})
    starts = [sum(sizes[:at]) for at in range(len(sizes))]
    pieces = [table.slice(start, size) for start, size in zip(starts, sizes, strict=True)]
    groups = list(row_groups(pieces, rows))
    assert [row for group in groups for row in group.column("row").to_pylist()] == list(range(sum(sizes)))
    assert all(group.num_rows == rows for group in groups[:-1])
    assert all(0 < group.num_rows <= rows for group in groups)


def test_a_group_of_wide_rows_ends_early() -> None:
    piece = pa.table({"wide": [bytes(1000)] * 10})
    groups = list(row_groups([piece] * 12, rows=1_000, size=4 * piece.nbytes))
    assert [group.num_rows for group in groups] == [40, 40, 40]
    assert BYTES > ROWS, "most rows are not wide"


def test_a_file_has_the_schema_the_groups_and_the_hashes_of_its_rows() -> None:
    words = pa.array(["a", "b", "a"] * 1000).dictionary_encode()
    schema = pa.schema([("n", pa.int64()), ("word", words.type)], {"nightscore.version": "0" * 16})
    pieces = [
        pa.table(
            {
                "n": range(start, start + 3000),
                "word": words if start % 2 else words.take(pa.array(range(2999, -1, -1))),
            }
        )
        for start in range(0, 60 * 3000, 3000)
    ]
    buffer = io.BytesIO()
    hashed = HashedFile(buffer)
    assert write_row_groups([piece.cast(schema) for piece in pieces], schema, hashed) == 180_000
    content = buffer.getvalue()
    assert (hashed.size, hashed.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert hashed.md5 == hashlib.md5(content, usedforsecurity=False).hexdigest()
    found = pq.ParquetFile(io.BytesIO(content))
    assert [found.metadata.row_group(at).num_rows for at in range(found.num_row_groups)] == [ROWS, 180_000 - ROWS]
    assert found.metadata.row_group(0).column(0).compression == "ZSTD"
    assert found.schema_arrow.equals(schema, check_metadata=True)
    assert found.read().equals(pa.concat_tables(pieces).cast(schema).unify_dictionaries())
