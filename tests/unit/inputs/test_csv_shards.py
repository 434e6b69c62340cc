"""CSV shards: every record once, whole, with its line; bad ones are rejects, hopeless files are errors."""

import csv
import gzip
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.spec import AbstractBufferedFile
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.errors import FaultError, InputError
from pipeline_lib.inputs import columns
from pipeline_lib.inputs.formats import csv_shards
from pipeline_lib.inputs.formats.csv_quotes import QuoteState
from pipeline_lib.inputs.formats.csv_records import Records
from pipeline_lib.inputs.shards import cut_slices
from pipeline_lib.settings.settings import CsvSettings
from pipeline_lib.storage.location import Location
from pipeline_lib.storage.urls import location_of
from tests.conftest import ROOT

UTF8 = CsvSettings()


def read(path: Path, rows_per_slice: int = 2, settings: CsvSettings = UTF8) -> list[dict[str, Any]]:
    """Read a shard slice by slice, as the job does."""
    contents = csv_shards.inspect(location_of(str(path)), settings, rows_per_slice)
    names = contents.schema.names
    slices = cut_slices(0, contents.rows, rows_per_slice, contents.slice_offsets)
    tables = [csv_shards.read_rows(location_of(str(path)), part, names, settings) for part in slices]
    rows: list[dict[str, Any]] = pa.concat_tables(tables).to_pylist()
    assert len(rows) == contents.rows
    return rows


def shard(folder: Path, content: str | bytes, name: str = "a.csv") -> Path:
    path = folder / name
    raw = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return path


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=12)


@given(table=st.lists(st.tuples(CELLS, CELLS), max_size=12), rows=st.integers(1, 5), packed=st.booleans())
def test_what_the_csv_module_writes_is_read_back_whatever_the_slices(
    table: list[tuple[str, str]], rows: int, packed: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(["a", "b"])
    writer.writerows(table)
    name = "a.csv.gz" if packed else "a.csv"
    path = shard(tmp_path_factory.mktemp("csv"), file.getvalue(), name)
    found = read(path, rows)
    assert [(row["a"], row["b"]) for row in found] == table
    assert not any(row[columns.REJECT_CODE] for row in found)


def test_quoted_newlines_doubled_quotes_and_words_like_null_are_texts(tmp_path: Path) -> None:
    path = shard(tmp_path, 'id,text\n1,"two\nlines"\n2,"say ""hi"""\n3,NA\n4,null\n5,None\n6,\n')
    assert [row["text"] for row in read(path)] == ["two\nlines", 'say "hi"', "NA", "null", "None", ""]


def test_lines_are_counted_in_the_file_and_not_in_records(tmp_path: Path) -> None:
    path = shard(tmp_path, 'id,text\n1,"two\nlines"\n\n2,x\n3,y\n')
    assert [row[columns.LINE] for row in read(path, rows_per_slice=1)] == [2, 5, 6]


@pytest.mark.parametrize("name", ["a.tsv", "a.tsv.gz"])
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


@pytest.mark.parametrize(
    ("record", "lines"),
    [
        ("2,be\rfore", 1),
        ("\r2,first", 1),
        ("2,last\r,", 1),
        ('2,be\rfore,"two\nlines"', 2),
        ('2\r,"two\nlines",af\rter,"and\r\nthree"', 3),
        ('2,"closed"\r,x', 1),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_stray_carriage_return_costs_its_record_and_no_other(
    record: str, lines: int, end: str, tmp_path: Path
) -> None:
    path = shard(tmp_path, end.join(["id,text", '1,"a\rb"', record, "3,c", "4,d", ""]))
    for rows_per_slice in (1, 2, 10):
        found = read(path, rows_per_slice)
        assert [row[columns.REJECT_CODE] for row in found] == [None, "malformed", None, None]
        assert found[1][columns.REJECT_MESSAGE].startswith("line 3: ")
        assert [row["text"] for row in found] == ["a\rb", None, "c", "d"]
        assert [row[columns.LINE] for row in found] == [2, 3, 3 + lines, 4 + lines]


RAW = st.text(st.sampled_from('ab,"\r\n'), max_size=60)


@given(raw=RAW, packed=st.booleans())
def test_a_shard_has_the_same_rows_from_its_start_and_from_every_mark(
    raw: str, packed: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = shard(tmp_path_factory.mktemp("csv"), f"id,text\n{raw}", "a.csv.gz" if packed else "a.csv")
    try:
        whole = read(path, 100)
    except InputError:
        for rows in (1, 2):
            with pytest.raises(InputError):
                read(path, rows)
        return
    for rows in (1, 2):
        assert read(path, rows) == whole


@given(raw=RAW.filter(lambda raw: "\r\r" not in raw), most=st.integers(2, 30))
def test_a_record_that_is_too_large_ends_where_it_would_have_ended(raw: str, most: int) -> None:
    def starts(limit: int) -> list[tuple[int, int, bool]] | str:
        records = Records(io.BytesIO(raw.encode()), "a.csv", "utf-8", ",")
        records._lines.most = limit
        try:
            return [(record.offset, record.line, record.fault is None) for record in records]
        except InputError as error:
            return str(error)

    free, limited = starts(1000), starts(most)
    if isinstance(free, str) or isinstance(limited, str):
        assert free == limited
        return
    assert [(offset, line) for offset, line, _ in limited] == [(offset, line) for offset, line, _ in free]
    assert all(is_whole or not is_held for (_, _, is_whole), (_, _, is_held) in zip(free, limited, strict=True))


@given(pieces=st.lists(st.text(st.sampled_from('ab,"'), max_size=8), max_size=8))
def test_quotes_are_followed_whatever_the_pieces(pieces: list[str]) -> None:
    apart, whole = QuoteState(","), QuoteState(",")
    for piece in pieces:
        apart.follow(piece)
    whole.follow("".join(pieces))
    assert apart.are_open == whole.are_open


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_records_beyond_the_limit_are_rejected_and_the_rest_is_read(name: str, tmp_path: Path) -> None:
    doubled, lines = '""' * 9_000_000, ("y," * 500 + "\n") * 17_000
    huge = ["x" * 17_000_000, f'"{lines}"', f'"{doubled}"', "," * 17_000_000]
    rows = ["1,a", *(f"{row},{text}" for row, text in enumerate(huge, 2)), '6,"b\n"', "7,c"]
    path = shard(tmp_path, "id,text\n" + "\n".join(rows), name)
    found = read(path, rows_per_slice=3)
    assert [row[columns.REJECT_CODE] for row in found] == [None, *["malformed"] * 4, None, None]
    assert found[1][columns.REJECT_MESSAGE] == "line 3: a record of more than 16 MiB"
    assert [row[columns.LINE] for row in found] == [2, 3, 4, 17_005, 17_006, 17_007, 17_009]
    assert [row["text"] for row in found] == ["a", *[None] * 4, "b\n", "c"]


def test_memory_stays_flat_whatever_a_small_file_unpacks_to(tmp_path: Path) -> None:
    """1 MB of gzip that unpacks to a record of 1 GB; measured in a process of its own."""
    path = tmp_path / "a.csv.gz"
    with gzip.open(path, "wb") as file:
        file.write(b"id,text\n1,a\n2,")
        for _ in range(1000):
            file.write(bytes(1_000_000))
        file.write(b"\n3,b\n")
    program = (
        "import resource, sys\n"
        "from pipeline_lib.storage.urls import location_of\n"
        "from pipeline_lib.inputs.formats import csv_shards\n"
        "from pipeline_lib.settings.settings import CsvSettings\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "assert csv_shards.inspect(location_of(sys.argv[1]), CsvSettings(), 100).rows == 3\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, str(path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert path.stat().st_size < 2e6
    assert int(ran.stdout) * 1024 < 200e6


class ObjectStoreFile(AbstractBufferedFile):  # type: ignore[misc] # fsspec has no types
    """Reads a local file as those of object stores are read, through a cache, and counts what it hands out."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        with open(self.path, "rb") as file:
            file.seek(start)
            return file.read(end - start)

    def read(self, length: int = -1) -> bytes:
        """Return the next bytes."""
        content: bytes = super().read(length)
        self.fs.bytes_read += len(content)
        return content


class ObjectStore(LocalFileSystem):  # type: ignore[misc]
    """A local file system whose files are read as those of object stores are."""

    cachable = False
    bytes_read = 0

    def _open(self, path: str, mode: str = "rb", block_size: int | None = None, **_: Any) -> ObjectStoreFile:
        return ObjectStoreFile(self, path, mode, block_size or 50 << 20)


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_files_of_object_stores_are_copied_once_and_not_for_each_line(name: str, tmp_path: Path) -> None:
    path = shard(tmp_path, "id,text\n" + "".join(f"{row},text {row * 7919}\n" for row in range(20_000)), name)
    store = ObjectStore()
    contents = csv_shards.inspect(Location(store, str(path)), UTF8, 1000)
    assert store.bytes_read <= 1.1 * path.stat().st_size
    part = cut_slices(0, contents.rows, 1000, contents.slice_offsets)[15]
    texts = csv_shards.read_rows(Location(store, str(path)), part, ["text"], UTF8).column("text").to_pylist()
    assert texts == [f"text {row * 7919}" for row in range(15_000, 16_000)]


def test_a_slice_that_would_hold_too_much_is_refused_with_the_setting_that_helps(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    row = b"1," + b"x" * 15_000_000 + b"\n"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b"id,text\n")
        for _ in range(72):
            file.write(row)
    with pytest.raises(InputError, match=r"rows 0 to 71 hold more than 1 GiB.*set tuning\.rows_per_slice to 35"):
        csv_shards.inspect(location_of(str(path)), UTF8, 100)
    assert csv_shards.inspect(location_of(str(path)), UTF8, 35).rows == 72


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


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no header"),
        (b"a,a\n1,2\n", "the header names 'a' more than once"),
        (b"caf\xe9,text\n1,2\n", "the header is not utf-8"),
        (b'a,b\n1,"never\nclosed\n', "the quote opened in line 2 never closes"),
        (b"a,b\r1,2\r", "bare carriage returns"),
        (b"a,b\n1,2\r3,4\r", "bare carriage returns"),
        (b"a\r,b\n1,2\n", "has no header: line 1: a carriage return outside quotes"),
        (b"a,b" + b"\r1,2" * 300_000, "bare carriage returns"),
        (b"a" * 2_000_000, "has no header: line 1 has more than 1 MiB"),
        (b'a,"b\n' + b"c\n" * 600_000, "has no header: line 1 has more than 1 MiB"),
        (b"a," * 10_000 + b"b\n", "the header names 10,001 columns, 10,000 at most"),
        (b'a,b\n1,"' + (b"never" * 200 + b"\n") * 17_000, "the quote opened in line 2 never closes"),
    ],
)
def test_a_hopeless_file_is_named_before_work_starts(content: bytes, message: str, tmp_path: Path) -> None:
    path = shard(tmp_path, content)
    with pytest.raises(InputError, match=message) as caught:
        read(path)
    assert str(path) in str(caught.value)


def test_a_truncated_gzip_file_is_named(tmp_path: Path) -> None:
    path = shard(tmp_path, "id,text\n" + "".join(f"{row},text {row}\n" for row in range(5000)), "a.csv.gz")
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises((InputError, FaultError), match=r"a\.csv\.gz"):
        read(path)


def test_a_header_alone_is_a_shard_without_rows(tmp_path: Path) -> None:
    assert csv_shards.inspect(location_of(str(shard(tmp_path, "id,text\n"))), UTF8, 10).rows == 0


def test_a_shard_that_shrank_since_the_plan_is_an_error(tmp_path: Path) -> None:
    path = shard(tmp_path, "id,text\n1,a\n2,b\n")
    contents = csv_shards.inspect(location_of(str(path)), UTF8, 10)
    shard(tmp_path, "id,text\n1,a\n")
    with pytest.raises(InputError, match="1 rows from row 0 on, expected 2"):
        csv_shards.read_rows(
            location_of(str(path)), cut_slices(0, contents.rows, 10, contents.slice_offsets)[0], ["text"], UTF8
        )
