"""A slice and its table as one row of a Ray dataset, and back.

Ray Data moves, joins and splits rows as it sees fit; a slice that is a single row always arrives whole and alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import fields

import numpy as np
import pyarrow as pa

from pipeline_lib.inputs.shards import Slice

_TABLE = "table"


# A block costs the driver milliseconds; more slices in one would save little, and make its memory large.
_MOST_SLICES = 8
_BLOCKS_LEFT = 8


def grouped(parts: Sequence[Slice], workers: int) -> Iterator[Sequence[Slice]]:
    """Yield slices in the groups that travel together: single ones at both ends, and up to eight between.

    A group arrives when its last slice is done. So none is large at the start, where models wait for the first
    slice, nor when fewer than eight blocks are left for each worker, where all shall end at one time.

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


def described(*parts: Slice) -> pa.Table:
    """Return slices that are not read yet as a table of a row each."""
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
    return described(part).append_column(_TABLE, packed)


def unpack(batch: pa.Table) -> tuple[Slice, pa.Table]:
    """Return the slice and the table that `pack` was given; the table's columns are views into the batch.

    A slice that is only described has a table of no columns.
    """
    (described_slice,) = batch.select([field.name for field in fields(Slice)]).to_pylist()
    table = pa.table({})
    if _TABLE in batch.column_names:
        with pa.ipc.open_stream(batch.column(_TABLE)[0].as_buffer()) as stream:
            table = stream.read_all()
    return Slice(**described_slice), table
