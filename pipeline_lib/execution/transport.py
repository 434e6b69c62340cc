"""A slice and its table as one row of a Ray dataset, and back.

Ray Data may move, join and split blocks between rows; a slice that is a single row always arrives whole.
"""

from collections.abc import Iterator, Sequence
from dataclasses import fields

import numpy as np
import pyarrow as pa

from pipeline_lib.inputs.shards import Slice

_TABLE = "table"
# Each block costs the driver milliseconds. More slices in one would save little, and take much memory.
_MOST_SLICES = 8
_BLOCKS_LEFT = 8


def groups_of(parts: Sequence[Slice], workers: int) -> Iterator[Sequence[Slice]]:
    """Yield the groups of slices that travel in one block: of one slice at both ends, of up to eight between.

    A block arrives when its last slice is done. So no group is large at the start, when models wait for their first
    slice, nor near the end, when all workers shall end together: a group leaves at least eight for each worker.

    Args:
        parts: the slices, in order.
        workers: how many work on them at a time.
    """
    at = 0
    while at < len(parts):
        size = min(at, len(parts) - at) // (_BLOCKS_LEFT * workers)
        size = min(max(size, 1), _MOST_SLICES)
        yield parts[at : at + size]
        at += size


def slice_rows(*parts: Slice) -> pa.Table:
    """Return a table with a row for each slice: its fields, without the rows of the input."""
    return pa.table({field.name: [getattr(part, field.name) for part in parts] for field in fields(Slice)})


def pack(part: Slice, table: pa.Table) -> pa.Table:
    """Return a table of one row: the slice's fields, and the whole table as an Arrow stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    content = sink.getvalue()
    # Built from its buffers: going through Python bytes would copy the table twice.
    offsets = pa.py_buffer(np.array([0, content.size], np.int64))
    packed = pa.LargeBinaryArray.from_buffers(pa.large_binary(), 1, [None, offsets, content])
    return slice_rows(part).append_column(_TABLE, packed)


def unpack(batch: pa.Table) -> tuple[Slice, pa.Table]:
    """Return the slice and the table that `pack` was given; the table's columns are views into the batch.

    A row without a table, as of `slice_rows`, gives a table of no columns.
    """
    (values,) = batch.select([field.name for field in fields(Slice)]).to_pylist()
    table = pa.table({})
    if _TABLE in batch.column_names:
        with pa.ipc.open_stream(batch.column(_TABLE)[0].as_buffer()) as stream:
            table = stream.read_all()
    return Slice(**values), table
