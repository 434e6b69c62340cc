"""Parquet shards of every bad kind, and the error that each gets."""

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.bad_inputs.job_folder import GOOD, PNG, Case, shard


def _schema(**columns: Any) -> pa.Table:
    return pa.table(columns)


def bytes_of(table: pa.Table) -> bytes:
    """Return a table as a Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="none", use_dictionary=False)
    return bytes(sink.getvalue().to_pybytes())


def _damaged() -> bytes:
    content = bytearray(bytes_of(pa.table({"id": ["1"] * 500, "text": ["a fine kettle"] * 500})))
    at = content.index(b"a fine kettle") - 40
    content[at : at + 300] = bytes(300)
    return bytes(content)


def _twice(name: str) -> pa.Table:
    names = [name, name, *({"id", "text"} - {name})]
    return pa.Table.from_arrays([pa.array(["a"])] * len(names), names=names)


PARQUET = (
    Case("an empty file", shard("bad.parquet", b""), r"bad\.parquet' is not a whole Parquet file"),
    Case(
        "Parquet cut off",
        shard("bad.parquet", lambda: bytes_of(GOOD)[:-20]),
        r"bad\.parquet' is not a whole Parquet file",
    ),
    Case("words named .parquet", shard("bad.parquet", b"words"), r"bad\.parquet' is not a whole Parquet"),
    Case("a picture named .parquet", shard("bad.parquet", PNG), r"bad\.parquet' is not a whole Parquet"),
    Case(
        "the magic of Parquet around nothing",
        shard("bad.parquet", b"PAR1" + bytes(50) + b"PAR1"),
        r"bad\.parquet' is not a whole Parquet file",
    ),
    Case(
        "encrypted Parquet",
        shard("bad.parquet", b"PARE" + bytes(50) + b"\x10\0\0\0PARE"),
        r"bad\.parquet' is not a whole Parquet file",
    ),
    Case("a damaged page", shard("bad.parquet", _damaged), r"bad\.parquet': damaged near row 0", on_ray=True),
    Case("CSV named .parquet", shard("bad.parquet", b"id,text\n1,a\n"), r"bad\.parquet' is not a whole"),
    Case(
        "a column twice",
        shard("bad.parquet", lambda: bytes_of(_twice("id"))),
        r"bad\.parquet' has several columns named 'id'",
    ),
    Case(
        "the text column twice",
        shard("bad.parquet", lambda: bytes_of(_twice("text"))),
        r"bad\.parquet' has several columns named 'text'",
    ),
    Case(
        "a reserved column name",
        shard("bad.parquet", _schema(text=["a"], __row__=[1])),
        r"bad\.parquet': the column names '__row__' are reserved",
    ),
    Case(
        "no text column",
        shard("bad.parquet", _schema(txt=["a"])),
        r"input\.text_column: .*bad\.parquet' has no column 'text'; did you mean 'txt'\?",
    ),
    Case(
        "no columns at all",
        shard("bad.parquet", pa.table({})),
        r"input\.text_column: .*bad\.parquet' has no column 'text' \(it has none\)",
    ),
    Case(
        "numbers for texts",
        shard("bad.parquet", _schema(text=[1])),
        r"input\.text_column: column 'text' of .*bad\.parquet' is int64; it must be string",
    ),
    Case(
        "bytes for texts",
        shard("bad.parquet", _schema(text=[b"a"])),
        r"input\.text_column: column 'text' of .*bad\.parquet' is binary; it must be string",
    ),
    Case(
        "lists for texts",
        shard("bad.parquet", _schema(text=[["a"]])),
        r"input\.text_column: column 'text' of .*bad\.parquet' is list<.*it must be string",
    ),
    Case(
        "records for texts",
        shard("bad.parquet", _schema(text=[{"a": "b"}])),
        r"input\.text_column: column 'text' of .*bad\.parquet' is struct<.*it must be string",
    ),
    Case(
        "a column of two types in two shards",
        shard("bad.parquet", _schema(id=[1], text=["a"])),
        r"column 'id' has types that can't be one column: int64 in .*bad\.parquet'; string in .*good\.parquet'",
    ),
    Case(
        "two kept columns that get one name",
        shard("bad.parquet", _schema(id=["1"], text=["a"], label=["b"], input_label=["c"])),
        r"two kept columns would be named 'input_label'.*input\.keep_columns",
    ),
    Case(
        "Parquet of more columns than can be read",
        shard("bad.parquet", lambda: bytes_of(pa.table({f"c{at}": ["a"] for at in range(10_001)}))),
        r"bad\.parquet' has 10,001 columns, 10,000 at most can be read",
    ),
    Case("words named .pq", shard("bad.pq", b"words"), r"bad\.pq' is not a whole Parquet"),
)
