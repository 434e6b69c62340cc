"""Shards of every bad kind, and the error that each gets."""

import gzip
import os
import zlib
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.bad_inputs.bad_home import GOOD, PNG, Home, Kind, arguments, setting, shard


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


def _zeros(count: int) -> bytes:
    packer = zlib.compressobj(wbits=31)
    pieces = [packer.compress(bytes(1_000_000)) for _ in range(count // 1_000_000)]
    return b"".join([*pieces, packer.flush()])


def _twice(name: str) -> pa.Table:
    names = [name, name, *({"id", "text"} - {name})]
    return pa.Table.from_arrays([pa.array(["a"])] * len(names), names=names)


def _dangling(home: Home) -> list[str]:
    (home.folder / "in" / "bad.parquet").symlink_to(home.folder / "gone.parquet")
    return []


def _pipe(home: Home) -> list[str]:
    os.mkfifo(home.folder / "in" / "bad.csv")
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
        r"bad\.csv' has no column 'text' \(it has 2 columns\)$",
    ),
    Kind(
        "CSV without a header, whose first text is near the column's name",
        shard("bad.csv", b"1,texts!\n2,a bad zip\n"),
        r"bad\.csv' has no column 'text' \(it has 2 columns\)$",
    ),
    Kind(
        "another delimiter",
        shard("bad.csv", b"id;text\n1;a\n"),
        r"input\.text_column: .*bad\.csv' has no column 'text'.*it has 1 column\); is input\.csv\.delimiter right",
    ),
    Kind(
        "bare carriage returns",
        shard("bad.csv", b"id,text\r1,a\r"),
        r"bad\.csv': lines end in bare carriage returns",
    ),
    Kind(
        "carriage returns below a header that ends as it should",
        shard("bad.csv", b"id,text\n1,a\r2,b\r3,c\r"),
        r"bad\.csv': lines end in bare carriage returns",
    ),
    Kind(
        "a header with a carriage return in it",
        shard("bad.csv", b"id,te\rxt\n1,a\n"),
        r"bad\.csv' has no header: line 1: a carriage return outside quotes",
    ),
    Kind(
        "a quote that swallows more than a record may have, and never closes",
        shard("bad.csv", lambda: b'id,text\n1,"a\n' + b"2,a fine kettle\n" * 1_100_000),
        r"bad\.csv': the quote opened in line 2 never closes",
    ),
    Kind(
        "400 KB of gzipped zeros",
        shard("bad.csv.gz", lambda: _zeros(400_000_000)),
        r"bad\.csv\.gz' has no header: line 1 has more than 1 MiB",
    ),
    Kind(
        "a header of a hundred thousand columns",
        shard("bad.csv", lambda: b"id,text," + b",".join(b"%d" % at for at in range(130_000)) + b"\n"),
        r"bad\.csv': the header names 130,002 columns, 10,000 at most can be read",
    ),
    Kind(
        "a header of two megabytes",
        shard("bad.csv", lambda: b"id,text," + b"," * 2_000_000 + b"\n"),
        r"bad\.csv' has no header: line 1 has more than 1 MiB",
    ),
    Kind(
        "Parquet of more columns than can be read",
        shard("bad.parquet", lambda: _bytes_of(pa.table({f"c{at}": ["a"] for at in range(10_001)}))),
        r"bad\.parquet' has 10,001 columns, 10,000 at most can be read",
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
        r"input\.path: 's3://\.\.\.@bucket/in' has a password",
    ),
    Kind(
        "a chain of URLs with a password",
        setting("input.path=[HOME/in, 'simplecache::http://me:zqsecret@host/in']"),
        r"input\.path: 'simplecache::http://\.\.\.@host/in' has a password",
    ),
    Kind(
        "a URL that is signed",
        setting("input.path=https://host/in?X-Amz-Signature=zqsecret"),
        r"input\.path: 'https://host/in\?X-Amz-Signature=\.\.\.' has a password, token or signature in it",
    ),
    Kind(
        "JSON lines beside a shard",
        shard("more.jsonl", b"{}\n"),
        r"input\.path: .*in/more\.jsonl', which look like",
    ),
    Kind(
        "CSV packed by bzip2", shard("more.csv.bz2", b"BZh"), r"input\.path: .*in/more\.csv\.bz2', which look like"
    ),
    Kind("a file without an ending", shard("part-00000", b"x"), r"input\.path: .*in/part-00000', which look like"),
    Kind("words named .pq", shard("bad.pq", b"words"), r"bad\.pq' is not a whole Parquet"),
    Kind(
        "a Delta table",
        shard("_delta_log/00000000000000000000.json", b"{}"),
        r"input\.path: '.*/in' holds files of a Delta table \('.*/in/_delta_log'\).*export the table",
    ),
    Kind(
        "an Iceberg table",
        shard("metadata/v1.metadata.json", b"{}"),
        r"input\.path: '.*/in' holds files of an Iceberg table \('.*metadata/v1\.metadata\.json'\)",
    ),
    Kind(
        "a named pipe among the shards", _pipe, r"input\.path: '.*bad\.csv' is a named pipe; shards must be regular"
    ),
    Kind(
        "a named pipe for a shard",
        lambda home: [*_pipe(home), "--set", f"input.path={home.folder}/in/bad.csv"],
        r"input\.path: '.*bad\.csv' is a named pipe; shards must be regular",
    ),
    Kind(
        "a file of zeros without end",
        setting("input.path=/dev/zero"),
        r"input\.path: '/dev/zero' is a device; shards must be regular",
    ),
    Kind(
        "a glob with two stars in a name", setting("input.path=HOME/**.parquet"), r"'\*\*' stands for whole folders"
    ),
    Kind(
        "a glob of all buckets",
        setting("input.path='s3://*/in.parquet'"),
        r"input\.path: 's3://\*/in\.parquet' does not spell out the bucket",
    ),
    Kind(
        "a file in an archive",
        setting("input.path='zip://a.csv::HOME/in.zip'"),
        r"files inside of archives can't be read; unpack them",
    ),
    Kind(
        "a key with two colons that is not there",
        setting("input.path='HOME/in/a::b.csv'"),
        r"input\.path: no such file or folder: '.*/in/a::b\.csv'",
    ),
    Kind(
        "a folder's column that the shard has too",
        lambda home: [
            *shard("text=x/bad.parquet", GOOD)(home),
            *setting("input.partition_columns=all")(home),
        ],
        r"input\.partition_columns: .*has a column 'text' of its own beside the folder 'text=\.\.\.'",
    ),
    Kind(
        "a folder's column that is not there",
        setting("input.partition_columns=[ds]"),
        r"input\.partition_columns: '.*good\.parquet' has no folder 'ds=\.\.\.'",
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
