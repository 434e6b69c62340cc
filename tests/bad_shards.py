"""Shards of every bad kind, and the error that each gets."""

import gzip
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from bad_home import GOOD, PNG, Home, Kind, arguments, setting, shard


def _schema(**columns: Any) -> pa.Table:
    return pa.table(columns)


def _bytes_of(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="none", use_dictionary=False)
    return bytes(sink.getvalue().to_pybytes())


def _damaged() -> bytes:
    content = bytearray(_bytes_of(pa.table({"id": ["1"] * 500, "text": ["a fine kettle"] * 500})))
    at = content.index(b"a fine kettle") - 40
    content[at : at + 300] = bytes(300)
    return bytes(content)


def _gzipped(cut: slice = slice(None), at: int | None = None) -> bytes:
    rows = "".join(f"{row},text {row * 7919}\n" for row in range(3000))
    packed = bytearray(gzip.compress(f"id,text\n{rows}".encode(), mtime=0))
    if at is not None:
        packed[at : at + 8] = bytes(8)
    return bytes(packed[cut])


def _twice(name: str) -> pa.Table:
    names = [name, name, *({"id", "text"} - {name})]
    return pa.Table.from_arrays([pa.array(["a"])] * len(names), names=names)


def _dangling(home: Home) -> list[str]:
    (home.folder / "in" / "bad.parquet").symlink_to(home.folder / "gone.parquet")
    return []


def _empty_folder(home: Home) -> list[str]:
    (home.folder / "empty").mkdir()
    return ["--set", f"input.path={home.folder}/empty"]


SHARDS = (
    Kind("an empty file", shard("bad.parquet", b""), r"bad\.parquet' is not a whole Parquet file"),
    Kind(
        "Parquet cut off",
        shard("bad.parquet", lambda: _bytes_of(GOOD)[:-20]),
        r"bad\.parquet' is not a whole Parquet file",
    ),
    Kind("words named .parquet", shard("bad.parquet", b"words"), r"bad\.parquet' is not a whole Parquet"),
    Kind("a picture named .parquet", shard("bad.parquet", PNG), r"bad\.parquet' is not a whole Parquet"),
    Kind(
        "the magic of Parquet around nothing",
        shard("bad.parquet", b"PAR1" + bytes(50) + b"PAR1"),
        r"bad\.parquet' is not a whole Parquet file",
    ),
    Kind(
        "encrypted Parquet",
        shard("bad.parquet", b"PARE" + bytes(50) + b"\x10\0\0\0PARE"),
        r"bad\.parquet' is not a whole Parquet file",
    ),
    Kind("a damaged page", shard("bad.parquet", _damaged), r"bad\.parquet': damaged near row 0", on_ray=True),
    Kind("CSV named .parquet", shard("bad.parquet", b"id,text\n1,a\n"), r"bad\.parquet' is not a whole"),
    Kind("Parquet named .csv", shard("bad.csv", lambda: _bytes_of(GOOD)), r"bad\.csv'"),
    Kind("a dangling link", _dangling, r"bad\.parquet'.*(No such file|not there|no such file)"),
    Kind(
        "a column twice",
        shard("bad.parquet", lambda: _bytes_of(_twice("id"))),
        r"bad\.parquet' has several columns named 'id'",
    ),
    Kind(
        "the text column twice",
        shard("bad.parquet", lambda: _bytes_of(_twice("text"))),
        r"bad\.parquet' has several columns named 'text'",
    ),
    Kind(
        "a reserved column name",
        shard("bad.parquet", _schema(text=["a"], __row__=[1])),
        r"bad\.parquet': the column names '__row__' are reserved",
    ),
    Kind(
        "no text column",
        shard("bad.parquet", _schema(txt=["a"])),
        r"input\.text_column: .*bad\.parquet' has no column 'text'; did you mean 'txt'\?",
    ),
    Kind(
        "no columns at all",
        shard("bad.parquet", pa.table({})),
        r"input\.text_column: .*bad\.parquet' has no column 'text' \(it has none\)",
    ),
    Kind(
        "numbers for texts",
        shard("bad.parquet", _schema(text=[1])),
        r"input\.text_column: column 'text' of .*bad\.parquet' is int64; it must be string",
    ),
    Kind(
        "bytes for texts",
        shard("bad.parquet", _schema(text=[b"a"])),
        r"input\.text_column: column 'text' of .*bad\.parquet' is binary; it must be string",
    ),
    Kind(
        "lists for texts",
        shard("bad.parquet", _schema(text=[["a"]])),
        r"input\.text_column: column 'text' of .*bad\.parquet' is list<.*it must be string",
    ),
    Kind(
        "records for texts",
        shard("bad.parquet", _schema(text=[{"a": "b"}])),
        r"input\.text_column: column 'text' of .*bad\.parquet' is struct<.*it must be string",
    ),
    Kind(
        "a column of two types in two shards",
        shard("bad.parquet", _schema(id=[1], text=["a"])),
        r"column 'id' has types that can't be one column: int64 in .*bad\.parquet'; string in .*good\.parquet'",
    ),
    Kind(
        "two kept columns that get one name",
        shard("bad.parquet", _schema(id=["1"], text=["a"], label=["b"], input_label=["c"])),
        r"two kept columns would be named 'input_label'.*input\.keep_columns",
    ),
    Kind("CSV of no bytes", shard("bad.csv", b""), r"bad\.csv' has no header: empty"),
    Kind("CSV of blank lines", shard("bad.csv", b"\n\n\n"), r"bad\.csv' has no header: empty"),
    Kind(
        "a header and no row",
        shard("bad.csv", b"id,text\n", alone=True),
        r"the input has 0 rows, limits\.min_rows is 1",
        exit_code=3,
    ),
    Kind(
        "a header that names a column twice",
        shard("bad.csv", b"id,text,id\n"),
        r"bad\.csv': the header names 'id' more than once",
    ),
    Kind("a header with a stray quote", shard("bad.csv", b'id,"te"xt\n1,a\n'), r"bad\.csv' has no header: line 1"),
    Kind(
        "a header in another encoding",
        shard("bad.csv", b"id,text,caf\xe9\n1,a,b\n"),
        r"bad\.csv': the header is not utf-8; set input\.csv\.encoding",
    ),
    Kind(
        "CSV in another encoding",
        shard("bad.csv", "id,text\n1,é\n2,ü\n".encode("latin-1")),
        r"bad\.csv' is not utf-8: 2 of 2 rows don't decode; set input\.csv\.encoding",
    ),
    Kind(
        "CSV in UTF-16",
        shard("bad.csv", "id,text\n1,a\n".encode("utf-16")),
        r"bad\.csv': the header is not utf-8; set input\.csv\.encoding",
    ),
    Kind(
        "CSV without a header",
        shard("bad.csv", b"1,a fine kettle\n2,a bad zip\n"),
        r"bad\.csv' has no column 'text'.*it has '1', 'a fine kettle'",
    ),
    Kind(
        "another delimiter",
        shard("bad.csv", b"id;text\n1;a\n"),
        r"input\.text_column: .*bad\.csv' has no column 'text'.*'id;text'\); is input\.csv\.delimiter right",
    ),
    Kind(
        "bare carriage returns",
        shard("bad.csv", b"id,text\r1,a\r"),
        r"bad\.csv': lines end in bare carriage returns",
    ),
    Kind(
        "a quote that never closes",
        shard("bad.csv", b'id,text\n1,"a\n2,b\n3,c\n'),
        r"bad\.csv': the quote opened in line 2 never closes",
    ),
    Kind("words named .csv.gz", shard("bad.csv.gz", b"id,text\n1,a\n"), r"bad\.csv\.gz' is not a whole gzip file"),
    Kind(
        "gzip cut off",
        shard("bad.csv.gz", lambda: _gzipped(slice(-500))),
        r"bad\.csv\.gz' is not a whole gzip file",
    ),
    Kind(
        "gzip damaged in the middle",
        shard("bad.csv.gz", lambda: _gzipped(at=4000)),
        r"bad\.csv\.gz' is not a whole gzip file",
    ),
    Kind(
        "gzip with another check sum",
        shard("bad.csv.gz", lambda: _gzipped(at=-8)),
        r"bad\.csv\.gz' is not a whole gzip file",
    ),
    Kind("gzip of no bytes", shard("bad.csv.gz", b""), r"bad\.csv\.gz' has no header: empty"),
    Kind("gzip named .csv", shard("bad.csv", _gzipped), r"bad\.csv'"),
    Kind("a folder without shards", _empty_folder, r"input\.path: the folder '.*/empty' holds no shard"),
    Kind(
        "a pattern that no file matches",
        setting("input.path=HOME/in/*.csv"),
        r"input\.path: no file matches '.*/in/\*\.csv'",
    ),
    Kind(
        "a file that is not there",
        setting("input.path=HOME/in/good.parqet"),
        r"input\.path: no such file or folder: '.*good\.parqet'; did you mean '.*good\.parquet'\?",
    ),
    Kind(
        "one of two paths that is not there",
        setting("input.path=[HOME/in, HOME/inn]"),
        r"input\.path: no such file or folder: '.*/inn'; did you mean '.*/in'\?",
    ),
    Kind(
        "a file that is no shard",
        setting("input.path=HOME/job.yaml"),
        r"input\.path: '.*job\.yaml' is not one of '\.parquet'",
    ),
    Kind(
        "a URL of an unknown kind",
        setting("input.path=s33://bucket/in"),
        r"'s33://bucket/in': can't open this kind of URL: .*did you mean 's3'\?",
    ),
    Kind(
        "a URL with a password",
        setting("input.path=s3://me:zqsecret@bucket/in"),
        r"'s3://\.\.\.@bucket/in' has a password in it",
    ),
    Kind(
        "a day whose folder is not there yet",
        arguments("--date", "2026-11-22", "--set", "input.path=HOME/in/ds={date}"),
        r"input\.path: no such file or folder: '.*/in/ds=2026-11-22'",
        exit_code=5,
    ),
    Kind(
        "a day whose pattern no file matches yet",
        arguments("--date", "2026-11-22", "--set", "input.path=HOME/in/ds={date}/*.parquet"),
        r"input\.path: no file matches '.*/in/ds=2026-11-22/\*\.parquet'",
        exit_code=5,
    ),
)
