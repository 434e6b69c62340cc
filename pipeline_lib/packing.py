"""A slice and its table as one row of a Ray dataset, and back.

Ray Data moves, joins and splits rows as it sees fit; a slice that is a single row always arrives whole and alone.
"""

from dataclasses import asdict

import numpy as np
import pyarrow as pa

from pipeline_lib.shards import Slice

_TABLE = "table"


def described(part: Slice) -> pa.Table:
    """Return a slice that is not read yet as a table of one row."""
    return pa.table({name: [value] for name, value in asdict(part).items()})


def slice_of(batch: pa.Table) -> Slice:
    """Return the slice that a row describes."""
    (fields,) = batch.to_pylist()
    return Slice(**fields)


def pack(part: Slice, table: pa.Table) -> pa.Table:
    """Return a table of one row: the slice's fields, and the whole table as an Arrow stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    content = sink.getvalue()
    # Built from its buffers: going through Python bytes would copy the table twice.
    offsets = pa.py_buffer(np.array([0, content.size], np.int64))
    packed = pa.LargeBinaryArray.from_buffers(pa.large_binary(), 1, [None, offsets, content])
    return described(part).append_column(_TABLE, packed)


def unpack(batch: pa.Table) -> tuple[Slice, pa.Table]:
    """Return the slice and the table that `pack` was given; the table's columns are views into the batch."""
    packed = batch.column(_TABLE)[0].as_buffer()
    with pa.ipc.open_stream(packed) as stream:
        table = stream.read_all()
    return slice_of(batch.drop_columns([_TABLE])), table
