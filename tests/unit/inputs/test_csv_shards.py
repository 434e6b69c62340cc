"""CSV shards: every record once, whole, with its line; bad ones are rejects, hopeless files are errors."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.errors import InputError
from pipeline_lib.inputs import columns
from pipeline_lib.inputs.formats.csv_files import csv_shards
from pipeline_lib.inputs.shards import cut_slices
from pipeline_lib.settings.sections.input import CsvSettings
from pipeline_lib.storage.urls import location_of
from tests.helpers.compressed import COMPRESSIONS, KINDS
from tests.helpers.csv_files import UTF8, read, shard

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut off": lambda content: content[:-500],
    "changed in the middle": lambda content: content[:4000] + bytes(8) + content[4008:],
    "something else": lambda _: b"id,text\n1,a\n",
    "more behind its end": lambda content: content + b"1,a\n" * 9,
    "a damaged piece behind its end": lambda content: content + b"X" + content[1:],
}
CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=12)


@given(
    table=st.lists(st.tuples(CELLS, CELLS), max_size=12),
    rows=st.integers(1, 5),
    packed=st.sampled_from(COMPRESSIONS),
)
def test_what_the_csv_module_writes_is_read_back_whatever_the_slices(
    table: list[tuple[str, str]], rows: int, packed: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(["a", "b"])
    writer.writerows(table)
    path = shard(tmp_path_factory.mktemp("csv"), file.getvalue(), f"a.csv{packed}")
    found = read(path, rows)
    assert [(row["a"], row["b"]) for row in found] == table
    assert not any(row[columns.REJECT_CODE] for row in found)


def test_quoted_newlines_doubled_quotes_and_words_like_null_are_texts(tmp_path: Path) -> None:
    path = shard(tmp_path, 'id,text\n1,"two\nlines"\n2,"say ""hi"""\n3,NA\n4,null\n5,None\n6,\n')
    assert [row["text"] for row in read(path)] == ["two\nlines", 'say "hi"', "NA", "null", "None", ""]


def test_lines_are_counted_in_the_file_and_not_in_records(tmp_path: Path) -> None:
    path = shard(tmp_path, 'id,text\n1,"two\nlines"\n\n2,x\n3,y\n')
    assert [row[columns.LINE] for row in read(path, rows_per_slice=1)] == [2, 5, 6]


@pytest.mark.parametrize("name", [f"a.tsv{packed}" for packed in COMPRESSIONS])
def test_tab_separated_files_are_split_at_tabs(name: str, tmp_path: Path) -> None:
    path = shard(tmp_path, "id\ttext\n1\ta, b\n", name)
    assert read(path)[0]["text"] == "a, b"


def test_windows_line_ends_and_a_byte_order_mark_are_no_part_of_the_data(tmp_path: Path) -> None:
    path = shard(tmp_path, b"\xef\xbb\xbfid,text\r\n1,a\r\n2,b\r\n")
    assert [(row["id"], row["text"]) for row in read(path)] == [("1", "a"), ("2", "b")]


def test_ragged_and_malformed_rows_are_rejected_and_the_others_kept(tmp_path: Path) -> None:
    path = shard(tmp_path, 'id,text\n1,a\n2\n3,b,c\n4,"x"y\n5,e\n')
    found = read(path)
    assert [row[columns.REJECT_CODE] for row in found] == [None, "ragged", "ragged", "malformed", None]
    assert found[1][columns.REJECT_MESSAGE] == "line 3 has 1 fields, the header has 2"
    assert [row["text"] for row in found] == ["a", None, None, None, "e"]


def test_a_row_that_does_not_decode_is_rejected_alone(tmp_path: Path) -> None:
    path = shard(tmp_path, b"id,text\n1,caf\xe9\n2,ok\n3,fine\n")
    assert [row[columns.REJECT_CODE] for row in read(path)] == ["not_decodable", None, None]


def test_a_file_in_another_encoding_is_an_error_that_names_the_setting(tmp_path: Path) -> None:
    path = shard(tmp_path, "id,text\n1,é\n2,ü\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"2 of 2 rows don't decode; set input\.csv\.encoding"):
        read(path)
    settings = CsvSettings(encoding="latin-1")
    assert [row["text"] for row in read(path, settings=settings)] == ["é", "ü"]


def test_declared_columns_have_their_type_and_what_is_none_of_it_is_rejected(tmp_path: Path) -> None:
    settings = CsvSettings(column_types={"rating": "int64", "when": "timestamp"})
    path = shard(tmp_path, "rating,when,text\n5,2026-01-02 03:04:05,a\n,,b\nfive,,c\n4,2026-01-02 03:04:05Z,d\n")
    contents = csv_shards.inspect(location_of(str(path)), settings, 10)
    assert [str(kind) for kind in contents.schema.types] == ["int64", "timestamp[us]", "string"]
    found = read(path, settings=settings)
    assert [row["rating"] for row in found] == [5, None, None, None]
    assert [row[columns.REJECT_CODE] for row in found] == [None, None, "bad_value", "bad_value"]


def test_times_with_an_offset_are_read_in_utc(tmp_path: Path) -> None:
    settings = CsvSettings(column_types={"when": "timestamp_utc"})
    path = shard(tmp_path, "when,text\n2026-01-02 03:04:05Z,a\n2026-01-02 03:04:05+01:00,b\n")
    assert [row["when"].isoformat() for row in read(path, settings=settings)] == [
        "2026-01-02T03:04:05+00:00",
        "2026-01-02T02:04:05+00:00",
    ]


@pytest.mark.parametrize("packed", COMPRESSIONS[1:])
@pytest.mark.parametrize("damage", DAMAGES, ids=DAMAGES.keys())
def test_a_damaged_compressed_file_is_named(damage: str, packed: str, tmp_path: Path) -> None:
    path = shard(tmp_path, "id,text\n" + "".join(f"{row},text {row}\n" for row in range(5000)), f"a.csv{packed}")
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    with pytest.raises(InputError, match=rf"a\.csv\{packed}' is not a whole {KINDS[packed]} file: \w"):
        read(path)


@pytest.mark.parametrize("packed", COMPRESSIONS[1:])
def test_a_file_that_was_compressed_in_pieces_is_read_whole(packed: str, tmp_path: Path) -> None:
    path = shard(tmp_path, "id,text\n1,a\n2,b", f"a.csv{packed}")
    path.write_bytes(path.read_bytes() + shard(tmp_path, "b\n3,c\n", f"b.csv{packed}").read_bytes())
    assert [row["text"] for row in read(path)] == ["a", "bb", "c"]


@pytest.mark.parametrize("packed", COMPRESSIONS)
def test_slices_are_read_in_any_order(packed: str, tmp_path: Path) -> None:
    path = shard(tmp_path, "id,text\n" + "".join(f"{row},text {row}\n" for row in range(5000)), f"a.csv{packed}")
    contents = csv_shards.inspect(location_of(str(path)), UTF8, 500)
    rows = csv_shards.CsvRows(location_of(str(path)), ["text"], UTF8)
    slices = cut_slices(0, contents.rows, 500, contents.slice_offsets)
    for part in (slices[7], slices[2], slices[9], slices[0]):
        assert rows(part).column("text")[0].as_py() == f"text {part.first_row}"
    rows.close()


def test_a_header_alone_is_a_shard_without_rows(tmp_path: Path) -> None:
    assert csv_shards.inspect(location_of(str(shard(tmp_path, "id,text\n"))), UTF8, 10).rows == 0


def test_a_shard_that_shrank_since_the_plan_is_an_error(tmp_path: Path) -> None:
    path = shard(tmp_path, "id,text\n1,a\n2,b\n")
    contents = csv_shards.inspect(location_of(str(path)), UTF8, 10)
    shard(tmp_path, "id,text\n1,a\n")
    with pytest.raises(InputError, match="1 rows from row 0 on, expected 2"):
        csv_shards.CsvRows(location_of(str(path)), ["text"], UTF8)(
            cut_slices(0, contents.rows, 10, contents.slice_offsets)[0]
        )
