"""The records of CSV files: where each begins and ends, whatever quotes, carriage returns and sizes do."""

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.errors import InputError
from pipeline_lib.inputs import columns
from pipeline_lib.inputs.formats.csv_files.csv_quotes import QuoteState
from pipeline_lib.inputs.formats.csv_files.csv_records import Records
from tests.helpers.csv_files import BAD_ROWS, read, shard


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
CONTENT = RAW.map(lambda raw: f"id,text\n{raw}".encode()) | BAD_ROWS.map(lambda raw: b"at,stars,text\n" + raw)


@given(content=CONTENT, packed=st.booleans())
def test_a_shard_has_the_same_rows_from_its_start_and_from_every_mark(
    content: bytes, packed: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = shard(tmp_path_factory.mktemp("csv"), content, "a.csv.gz" if packed else "a.csv")
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
@pytest.mark.slow
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
