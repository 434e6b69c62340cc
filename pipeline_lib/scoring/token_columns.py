"""Columns of token ids: lists of different lengths over one buffer of numbers, read without copies."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline_lib.checkpoints.windows import WindowCut
from pipeline_lib.engines.batching import distinct
from pipeline_lib.engines.engine import Ids, Rows
from pipeline_lib.inputs import columns


@dataclass(frozen=True)
class DistinctRows:
    """The different token sequences of a slice. Equal rows are computed once, and each gets the very same bytes."""

    ids: list[Ids]
    type_ids: list[Ids]
    first: Rows
    """For each distinct sequence, the place of its first row among the rows that were given."""
    same: Rows
    """For each row that was given, the number of its sequence."""
    lengths: NDArray[np.int32]

    @classmethod
    def of(cls, table: pa.Table, rows: Rows) -> "DistinctRows":
        """Return the distinct token sequences of some rows of a tokenized table."""
        present = [name for name in (columns.TOKEN_IDS, columns.TYPE_IDS) if name in table.column_names]
        tokens = table.select(present).take(pa.array(rows))  # the user's columns are not copied
        ids = _lists_of(tokens.column(columns.TOKEN_IDS))
        type_ids = _lists_of(tokens.column(columns.TYPE_IDS)) if columns.TYPE_IDS in present else ids
        first, same = distinct(ids, type_ids)
        lengths = np.array([len(ids[row]) for row in first], np.int32)
        return cls([ids[row] for row in first], [type_ids[row] for row in first], first, same, lengths)


def tokens_to_compute(table: pa.Table, windows: WindowCut | None) -> int:
    """Return how many tokens of a tokenized slice go through the model; a rejected row has none.

    Args:
        table: the slice.
        windows: how long texts are cut; tokens that windows share count in each of them.
    """
    lengths = pc.list_value_length(table.column(columns.TOKEN_IDS)).to_numpy()
    return int((windows.tokens(lengths) if windows else lengths).sum())


def _lists_of(column: pa.ChunkedArray) -> list[Ids]:
    """Return a list column as views into its one buffer."""
    lists = column.combine_chunks()
    offsets, values = lists.offsets.to_numpy(), lists.values.to_numpy()
    return [values[start:end] for start, end in pairwise(offsets)]
