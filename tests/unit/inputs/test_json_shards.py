"""JSON Lines: every line that is not blank is a row, in the types that hold the values of all lines."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.errors import InputError
from pipeline_lib.inputs import columns
from pipeline_lib.inputs.formats.json_files import json_shards
from pipeline_lib.inputs.schema import unified_field
from pipeline_lib.inputs.shards import cut_slices
from pipeline_lib.storage.urls import location_of
from tests.helpers.compressed import COMPRESSIONS, compressed

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "text": TEXT | st.none(),
    "stars": st.integers(-(2**63), 2**63 - 1),
    "price": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53),
    "good": st.booleans() | st.none(),
    "tags": st.lists(TEXT, max_size=3),
    "mixed": st.booleans() | st.integers() | TEXT | st.none(),
}
ROWS = st.lists(st.fixed_dictionaries({}, optional=VALUES), min_size=1, max_size=12)
MALFORMED = [
    b"{",
    b"[1]",
    b"no",
    b'{"a": 1}}',
    b'{"a": "\xff"}',
    b'{"a": "\\ud800"}',
    b'{"\\ud800": 1}',
    b"[" * 9999,
]


def read(path: Path, rows_per_slice: int = 2, order: int = 1) -> tuple[pa.Schema, list[dict[str, Any]]]:
    """Read a shard slice by slice, as the job does, from its start or from its end."""
    contents = json_shards.inspect(location_of(str(path)), rows_per_slice)
    slices = cut_slices(0, contents.rows, rows_per_slice, contents.slice_offsets)
    read_rows = json_shards.JsonRows(location_of(str(path)), contents.schema.names, contents.schema)
    tables = [read_rows(part) for part in slices[::order]]
    read_rows.close()
    rows: list[dict[str, Any]] = pa.concat_tables(tables[::order]).to_pylist()
    assert len(rows) == contents.rows
    return contents.schema, rows


def shard(folder: Path, content: bytes, name: str = "a.jsonl") -> Path:
    path = folder / name
    path.write_bytes(compressed(content, name))
    return path


@given(rows=ROWS, packed=st.sampled_from(COMPRESSIONS), data=st.data())
def test_rows_are_those_of_a_parser_whatever_the_slices_and_the_lines_between(
    rows: list[dict[str, Any]], packed: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content, line_of = b"", []
    for row in rows:
        content += b"\n" * data.draw(st.integers(0, 2))
        line_of.append(content.count(b"\n") + 1)
        content += json.dumps(row, ensure_ascii=data.draw(st.booleans())).encode()
        content += data.draw(st.sampled_from([b"\n", b"\r\n", b" \n"]))
    path = shard(tmp_path_factory.mktemp("json"), content, f"a.jsonl{packed}")
    schema, found = read(path, data.draw(st.integers(1, 4)), data.draw(st.sampled_from([1, -1])))
    assert schema.names == list(dict.fromkeys(key for row in rows for key in row))
    assert [row[columns.LINE] for row in found] == line_of
    for row, read_row in zip(rows, found, strict=True):
        assert read_row[columns.REJECT_CODE] is None
        for key in schema.names:
            value, read_value = row.get(key), read_row[key]
            if pa.types.is_string(schema.field(key).type) and not isinstance(value, str | None):
                read_value = json.loads(read_value)
            assert read_value == value


def test_columns_have_the_type_of_all_their_values(tmp_path: Path) -> None:
    first = {"a": 1, "b": 1, "c": True, "d": None, "e": 1, "f": [1]}
    second = {"a": 2, "b": 0.5, "c": None, "e": "x", "g": 2**63}
    schema, found = read(shard(tmp_path, f"{json.dumps(first)}\n{json.dumps(second)}".encode()))
    kinds = [pa.int64(), pa.float64(), pa.bool_(), pa.null(), pa.string(), pa.string(), pa.string()]
    assert schema == pa.schema(list(zip("abcdefg", kinds, strict=True)))
    assert [(row["e"], row["f"], row["g"]) for row in found] == [("1", "[1]", None), ("x", None, str(2**63))]


@pytest.mark.parametrize("line", MALFORMED)
def test_a_malformed_line_costs_its_row_and_no_other(line: bytes, tmp_path: Path) -> None:
    good = b'{"text": "one"}\n'
    schema, found = read(shard(tmp_path, good + line + b"\n" + good * 2))
    assert schema.names == ["text"]
    assert [row["text"] for row in found] == ["one", None, "one", "one"]
    code = "not_decodable" if b"\\ud800" in line or b"\xff" in line else "malformed"
    assert [row[columns.REJECT_CODE] for row in found] == [None, code, None, None]
    assert found[1][columns.REJECT_MESSAGE].startswith("line 2")


def test_a_line_that_is_too_long_is_rejected_unread(tmp_path: Path) -> None:
    good, long = b'{"text": "one"}\n', b'{"text": "' + b"x" * (17 << 20) + b'"}\n'
    _, found = read(shard(tmp_path, good + long + good))
    assert [row[columns.REJECT_MESSAGE] for row in found] == [None, "line 2: more than 16 MiB", None]
    assert [row["text"] for row in found] == ["one", None, "one"]


@pytest.mark.parametrize("content", [json.dumps([{"text": "a"}] * 9, indent=1), '"a"\n"b"\n', "text\nab\n"])
def test_a_file_of_another_format_is_an_error(content: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.jsonl' is not JSON Lines: .* lines are no JSON objects"):
        json_shards.inspect(location_of(str(shard(tmp_path, content.encode()))), 10)


def test_a_damaged_file_and_one_that_shrank_are_errors(tmp_path: Path) -> None:
    path = shard(tmp_path, b'{"text": "one"}\n' * 99, "a.jsonl.gz")
    contents = json_shards.inspect(location_of(str(path)), 100)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match="not a whole gzip file"):
        json_shards.inspect(location_of(str(path)), 100)
    shard(tmp_path, b'{"text": "one"}\n' * 9, "a.jsonl.gz")
    (part,) = cut_slices(0, contents.rows, 100, contents.slice_offsets)
    with pytest.raises(InputError, match="has 9 rows from row 0 on, expected 99"):
        json_shards.JsonRows(location_of(str(path)), ["text"], contents.schema)(part)


def test_numbers_of_several_files_go_together_and_anything_goes_with_texts() -> None:
    def kind(*kinds: pa.DataType) -> pa.DataType | None:
        found = unified_field([(f"{at}.jsonl", pa.field("a", kind)) for at, kind in enumerate(kinds)])
        return found.type if isinstance(found, pa.Field) else None

    assert kind(pa.int64(), pa.null(), pa.float64()) == pa.float64()
    assert kind(pa.null(), pa.int64(), pa.string()) == pa.string()
    assert kind(pa.bool_(), pa.int64()) == pa.string()
    of_csv, of_json = ("a.csv", pa.field("a", pa.int64())), ("b.jsonl", pa.field("a", pa.string()))
    assert unified_field([of_csv, of_json]) == ("a.csv", "b.jsonl")
