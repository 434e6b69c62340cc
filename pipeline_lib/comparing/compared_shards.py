"""Compares one shard after another: labels, scores, and whether the ids say that the rows are the same."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline_lib.comparing.alignment import aligned
from pipeline_lib.comparing.ids import ids_of
from pipeline_lib.comparing.published import Published
from pipeline_lib.comparing.scored_rows import scored_rows
from pipeline_lib.comparing.shard_pairs import ShardPair
from pipeline_lib.errors import InputError
from pipeline_lib.inputs import columns
from pipeline_lib.statistics.comparison import Comparison, largest_differences, score_differences

Ids = dict[tuple[str, int], str]
"""Of rows, by shard and number of the row."""


class Found(NamedTuple):
    """What is found in some rows."""

    comparison: Comparison
    ids: Ids

    def merged(self, other: "Found") -> "Found":
        """Return both, with the ids of the examples alone."""
        comparison, ids = self.comparison + other.comparison, {**self.ids, **other.ids}
        shown = ((example.shard, example.row) for example in comparison.examples)
        return Found(comparison, {place: ids[place] for place in shown if place in ids})


NOTHING = Found(Comparison(), {})


class ComparedShards:
    """Compares shards.

    Args:
        first: what is published in one folder.
        second: and in the other.
        id_name: the column that names rows, if there is one.
    """

    def __init__(self, first: Published, second: Published, id_name: str | None) -> None:
        self._first, self._second, self._id_name = first, second, id_name
        has_all = all(columns.SCORES in each.added_columns for each in (first, second))
        self._by_all_scores = has_all and set(first.labels) == set(second.labels)
        same_activation = first.activation == second.activation
        is_softmax = first.activation == "softmax" and same_activation
        self._softmax_labels = len(first.labels) if is_softmax and set(first.labels) == set(second.labels) else 0
        # The place in the second output of each label of the first one.
        self._order = [second.labels.index(label) for label in first.labels] if self._by_all_scores else []
        scores = [columns.SCORES] if self._by_all_scores else [columns.SCORE]
        self._names = [columns.LABEL, *scores, *([id_name] if id_name else [])]

    def compared(self, pair: ShardPair) -> Found:
        """Return the comparison of a shard."""
        one = scored_rows(self._first, pair.first, self._names)
        other = scored_rows(self._second, pair.second, self._names)
        found = NOTHING
        for rows, table, other_table, only_in_first, only_in_second in aligned(one, other):
            labels = table.column(columns.LABEL).to_pylist(), other_table.column(columns.LABEL).to_pylist()
            known = Comparison.of(pair.name, rows, labels, self._differences(table, other_table))
            alone = Comparison(only_in_first=only_in_first, only_in_second=only_in_second)
            found = found.merged(Found(known + alone, self._ids(pair, rows, (table, other_table), known)))
        return found

    def _differences(self, table: pa.Table, other: pa.Table) -> NDArray[np.float64]:
        if self._by_all_scores:
            labels = len(self._first.labels)
            return largest_differences(_matrix(table, labels), _matrix(other, labels)[:, self._order])
        flipped = pc.not_equal(table.column(columns.LABEL), other.column(columns.LABEL)).to_numpy()
        one, two = (each.column(columns.SCORE).to_numpy() for each in (table, other))
        return score_differences(one, two, flipped.astype(np.bool_), self._softmax_labels)

    def _ids(
        self, pair: ShardPair, rows: NDArray[np.int64], tables: tuple[pa.Table, pa.Table], known: Comparison
    ) -> Ids:
        """Return the ids of the examples, after a look at whether the rows of both outputs have the same."""
        if self._id_name is None or not len(rows):
            return {}
        one, other = (ids_of(table, self._id_name) for table in tables)
        # An id looks different as a number and as text.
        types = {table.schema.field(self._id_name).type for table in tables}
        if len(types) == 1 and not one.equals(other):
            self._refuse_other_rows(pair, rows, one, other)
        places = np.searchsorted(rows, [example.row for example in known.examples])
        found = one.take(pa.array(places, pa.int64())).to_pylist()
        pairs = zip(known.examples, found, strict=True)
        return {(example.shard, example.row): value for example, value in pairs if value is not None}

    def _refuse_other_rows(self, pair: ShardPair, rows: NDArray[np.int64], one: pa.Array, other: pa.Array) -> None:
        both = zip(one.to_pylist(), other.to_pylist(), strict=True)
        at = next(at for at, ids in enumerate(both) if len({*ids}) > 1)
        raise InputError(
            f"the outputs are not of the same rows: in row {int(rows[at])} of {pair.name!r} the column "
            f"{self._id_name!r} is {one[at].as_py()!r} in {self._first.url!r} and {other[at].as_py()!r} in "
            f"{self._second.url!r}"
        )


def _matrix(table: pa.Table, labels: int) -> NDArray[np.float32]:
    """Return the scores of all labels as an array of shape [rows, labels]."""
    values: NDArray[np.float32] = table.column(columns.SCORES).combine_chunks().flatten().to_numpy()
    return values.reshape(-1, labels)
