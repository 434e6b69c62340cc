"""CSV shards of every bad kind, packed or not, and the error that each gets."""

import zlib
from collections.abc import Callable, Iterator

from tests.bad_inputs.bad_parquet import bytes_of
from tests.bad_inputs.job_folder import GOOD, Case, shard
from tests.helpers.compressed import KINDS, compressed


def _packed(ending: str, cut: slice = slice(None), at: int | None = None) -> bytes:
    rows = "".join(f"{row},text {row * 7919}\n" for row in range(3000))
    packed = bytearray(compressed(f"id,text\n{rows}".encode(), ending))
    if at is not None:
        packed[at : at + 8] = bytes(8)
    return bytes(packed[cut])


def _damaged(ending: str) -> Iterator[tuple[str, bytes | Callable[[], bytes]]]:
    yield "words", b"id,text\n1,a\n"
    yield "cut off", lambda: _packed(ending, slice(-500))
    yield "damaged in the middle", lambda: _packed(ending, at=4000)
    yield "with another check sum", lambda: _packed(ending, at=-8)
    yield "with more behind its end", lambda: _packed(ending) + b"1,a\n" * 9


def _zeros(count: int) -> bytes:
    packer = zlib.compressobj(wbits=31)
    pieces = [packer.compress(bytes(1_000_000)) for _ in range(count // 1_000_000)]
    return b"".join([*pieces, packer.flush()])


CSV = (
    Case("Parquet named .csv", shard("bad.csv", lambda: bytes_of(GOOD)), r"bad\.csv'"),
    Case("CSV of no bytes", shard("bad.csv", b""), r"bad\.csv' has no header: empty"),
    Case("CSV of blank lines", shard("bad.csv", b"\n\n\n"), r"bad\.csv' has no header: empty"),
    Case(
        "a header and no row",
        shard("bad.csv", b"id,text\n", alone=True),
        r"the input has 0 rows, limits\.min_rows is 1",
        exit_code=3,
    ),
    Case(
        "a header that names a column twice",
        shard("bad.csv", b"id,text,id\n"),
        r"bad\.csv': the header names 'id' more than once",
    ),
    Case("a header with a stray quote", shard("bad.csv", b'id,"te"xt\n1,a\n'), r"bad\.csv' has no header: line 1"),
    Case(
        "a header in another encoding",
        shard("bad.csv", b"id,text,caf\xe9\n1,a,b\n"),
        r"bad\.csv': the header is not utf-8; set input\.csv\.encoding",
    ),
    Case(
        "CSV in another encoding",
        shard("bad.csv", "id,text\n1,é\n2,ü\n".encode("latin-1")),
        r"bad\.csv' is not utf-8: 2 of 2 rows don't decode; set input\.csv\.encoding",
    ),
    Case(
        "CSV in UTF-16",
        shard("bad.csv", "id,text\n1,a\n".encode("utf-16")),
        r"bad\.csv': the header is not utf-8; set input\.csv\.encoding",
    ),
    Case(
        "CSV without a header",
        shard("bad.csv", b"1,a fine kettle\n2,a bad zip\n"),
        r"bad\.csv' has no column 'text' \(it has 2 columns\)$",
    ),
    Case(
        "CSV without a header, whose first text is near the column's name",
        shard("bad.csv", b"1,texts!\n2,a bad zip\n"),
        r"bad\.csv' has no column 'text' \(it has 2 columns\)$",
    ),
    Case(
        "another delimiter",
        shard("bad.csv", b"id;text\n1;a\n"),
        r"input\.text_column: .*bad\.csv' has no column 'text'.*it has 1 column\); is input\.csv\.delimiter right",
    ),
    Case(
        "bare carriage returns",
        shard("bad.csv", b"id,text\r1,a\r"),
        r"bad\.csv': lines end in bare carriage returns",
    ),
    Case(
        "carriage returns below a header that ends as it should",
        shard("bad.csv", b"id,text\n1,a\r2,b\r3,c\r"),
        r"bad\.csv': lines end in bare carriage returns",
    ),
    Case(
        "a header with a carriage return in it",
        shard("bad.csv", b"id,te\rxt\n1,a\n"),
        r"bad\.csv' has no header: line 1: a carriage return outside quotes",
    ),
    Case(
        "a quote that swallows more than a record may have, and never closes",
        shard("bad.csv", lambda: b'id,text\n1,"a\n' + b"2,a fine kettle\n" * 1_100_000),
        r"bad\.csv': the quote opened in line 2 never closes",
    ),
    Case(
        "400 KB of gzipped zeros",
        shard("bad.csv.gz", lambda: _zeros(400_000_000)),
        r"bad\.csv\.gz' has no header: line 1 has more than 1 MiB",
    ),
    Case(
        "a header of a hundred thousand columns",
        shard("bad.csv", lambda: b"id,text," + b",".join(b"%d" % at for at in range(130_000)) + b"\n"),
        r"bad\.csv': the header names 130,002 columns, 10,000 at most can be read",
    ),
    Case(
        "a header of two megabytes",
        shard("bad.csv", lambda: b"id,text," + b"," * 2_000_000 + b"\n"),
        r"bad\.csv' has no header: line 1 has more than 1 MiB",
    ),
    Case(
        "a quote that never closes",
        shard("bad.csv", b'id,text\n1,"a\n2,b\n3,c\n'),
        r"bad\.csv': the quote opened in line 2 never closes",
    ),
    *(
        Case(
            f"{kind}: {name}", shard(f"bad.csv{ending}", content), rf"bad\.csv\{ending}' is not a whole {kind} file"
        )
        for ending, kind in KINDS.items()
        for name, content in _damaged(ending)
    ),
    Case("gzip of no bytes", shard("bad.csv.gz", b""), r"bad\.csv\.gz' has no header: empty"),
    Case("gzip named .csv", shard("bad.csv", lambda: _packed(".gz")), r"bad\.csv'"),
)
