"""Row groups: rows that come in small tables are written in large groups, which readers read or skip as a whole."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

ROWS = 128 << 10
"""Rows of a row group."""
BYTES = 64 << 20
"""A group of wide rows ends earlier, at so many bytes in memory."""

COMPRESSION = "zstd"


class HashedFile:
    """A file to write to that knows the size and the hashes of what was written.

    Args:
        file: that gets the bytes.
    """

    closed = False

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._sha256, self._md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
        self.size = 0

    def write(self, content: bytes) -> int:
        """Write bytes to the file."""
        self._file.write(content)
        self._sha256.update(content)
        self._md5.update(content)
        self.size += len(content)
        return len(content)

    def flush(self) -> None:
        """Do nothing: who opened the file sees to it."""

    def tell(self) -> int:
        """Return the number of bytes so far."""
        return self.size

    def readable(self) -> bool:
        """Return False."""
        return False

    def writable(self) -> bool:
        """Return True."""
        return True

    @property
    def sha256(self) -> str:
        """The SHA-256 of what was written, in hexadecimal digits."""
        return self._sha256.hexdigest()

    @property
    def md5(self) -> str:
        """The MD5, likewise."""
        return self._md5.hexdigest()


def row_groups(tables: Iterable[pa.Table], rows: int = ROWS, size: int = BYTES) -> Iterator[pa.Table]:
    """Yield the rows of tables in groups that depend on the rows and on where a table ends, and on nothing else.

    Args:
        tables: of equal schemas.
        rows: of a group; the last one may have fewer.
        size: bytes in memory at which a group ends with the table that is in hand.
    """
    waiting: list[pa.Table] = []
    waiting_rows = waiting_size = 0
    for table in tables:
        left = table
        while waiting_rows + left.num_rows >= rows:
            head = left.slice(0, rows - waiting_rows)
            yield pa.concat_tables([*waiting, head])
            left = left.slice(head.num_rows)
            waiting, waiting_rows, waiting_size = [], 0, 0
        if left.num_rows:
            waiting.append(left)
            waiting_rows, waiting_size = waiting_rows + left.num_rows, waiting_size + left.nbytes
        if waiting_size >= size:
            yield pa.concat_tables(waiting)
            waiting, waiting_rows, waiting_size = [], 0, 0
    if waiting:
        yield pa.concat_tables(waiting)


def write_row_groups(tables: Iterable[pa.Table], schema: pa.Schema, file: HashedFile) -> int:
    """Write a Parquet file whose row groups are those of `row_groups`; return its number of rows.

    Args:
        tables: of this schema.
        schema: of the file.
        file: open for writing.
    """
    written = 0
    with pq.ParquetWriter(pa.PythonFile(file, mode="w"), schema, compression=COMPRESSION) as writer:
        for group in row_groups(tables):
            writer.write_table(group.unify_dictionaries(), row_group_size=ROWS)
            written += group.num_rows
    return written
