"""Some rows of a file, wherever its row groups end and whichever rows were read before."""

import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.planning.resume.row_spans import RowGroups, Span
from pipeline_lib.storage.urls import location_of


@given(
    st.integers(0, 40), st.integers(1, 12), st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=6)
)
def test_a_span_has_its_rows_whatever_was_read_before(rows: int, group: int, spans: list[tuple[int, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in ("a", "b"):
            table = pa.table({"row": [f"{name}{row}" for row in range(rows)], "other": range(rows)})
            pq.write_table(table, Path(folder) / name, row_group_size=group)
        groups = RowGroups()
        for at, (one, other) in enumerate(spans):
            name, first, end = "ab"[at % 2], min(one, other, rows), min(max(one, other), rows)
            found = groups.rows(location_of(folder), Span(name, first, end - first, name * 64), ["row"])
            assert found.to_pydict() == {"row": [f"{name}{row}" for row in range(first, end)]}


def test_the_next_rows_of_a_row_group_are_there_without_the_file(tmp_path: Path) -> None:
    pq.write_table(pa.table({"row": range(20)}), tmp_path / "a", row_group_size=10)
    groups = RowGroups()
    groups.rows(location_of(str(tmp_path)), Span("a", 0, 3, "0" * 64), ["row"])
    (tmp_path / "a").unlink()
    found = groups.rows(location_of(str(tmp_path)), Span("a", 3, 7, "0" * 64), ["row"])
    assert found.column("row").to_pylist() == list(range(3, 10))
