"""Two streams of rows come together by the numbers of the rows, however each of them is cut."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.comparing.alignment import Block, aligned
from pipeline_lib.statistics.comparison import Comparison, score_differences

CUTS = st.lists(st.integers(1, 9), min_size=1, max_size=12)
ROWS = st.dictionaries(st.integers(0, 60), st.tuples(st.sampled_from("xy"), st.floats(0, 1, width=32)), max_size=40)
Rows = dict[int, tuple[str, float]]


def blocks(rows: Rows, cuts: list[int]) -> Iterator[Block]:
    """Yield rows in blocks of these sizes, over and over; some are empty, as parts of rejects alone are."""
    numbers, at = sorted(rows), 0
    while at < len(numbers):
        for cut in cuts:
            chosen = numbers[at : at + cut]
            values = [rows[number] for number in chosen]
            table = {"label": [label for label, _ in values], "score": [score for _, score in values]}
            yield Block(np.array(chosen, np.int64), pa.table(table, _SCHEMA))
            at += cut


_SCHEMA = pa.schema([("label", pa.string()), ("score", pa.float32())])


def compared(first: Rows, second: Rows, cuts: list[int], other_cuts: list[int]) -> Comparison:
    """Return the comparison of two streams."""
    found = Comparison()
    for rows, one, other, only_in_first, only_in_second in aligned(blocks(first, cuts), blocks(second, other_cuts)):
        labels = one.column("label").to_pylist(), other.column("label").to_pylist()
        flipped = np.array([a != b for a, b in zip(*labels, strict=True)], np.bool_)
        scores = one.column("score").to_numpy(), other.column("score").to_numpy()
        differences = score_differences(*scores, flipped, labels=2)
        found += Comparison.of("a", rows, labels, differences)
        found += Comparison(only_in_first=only_in_first, only_in_second=only_in_second)
    return found


@given(first=ROWS, second=ROWS, cuts=CUTS, other_cuts=CUTS)
def test_any_cut_of_the_slices_gives_the_same_comparison(
    first: Rows, second: Rows, cuts: list[int], other_cuts: list[int]
) -> None:
    found = compared(first, second, cuts, other_cuts)
    assert found == compared(first, second, [1], [1]) == compared(first, second, [99], [99])
    both = first.keys() & second.keys()
    assert found.rows == len(both)
    assert found.flips == sum(first[row][0] != second[row][0] for row in both)
    assert found.only_in_first == len(first.keys() - both)
    assert found.only_in_second == len(second.keys() - both)
    assert {each.row for each in found.examples} <= both
