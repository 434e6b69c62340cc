"""Packed batches come in few shapes, and little is added to them."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.engines.packed.packed_shapes import capacity, filling

LENGTHS = st.lists(st.integers(1, 512), min_size=1, max_size=300)


@given(LENGTHS)
def test_a_batch_is_filled_to_a_capacity_of_rows_and_of_tokens(lengths: list[int]) -> None:
    added = filling(len(lengths), sum(lengths), max(lengths))
    rows, tokens = len(lengths) + len(added.lengths), sum(lengths) + sum(added.lengths)
    assert (rows, tokens) == (capacity(rows), capacity(tokens))
    assert all(1 <= length <= max(lengths) for length in added.lengths)
    assert max(lengths) <= added.longest < 2 * max(lengths)
    assert filling(rows, tokens, max(lengths)).lengths == (), "a full batch gets nothing"


@given(LENGTHS.filter(lambda lengths: sum(lengths) > 64))
def test_little_is_added(lengths: list[int]) -> None:
    added = filling(len(lengths), sum(lengths), max(lengths))
    # One step of the tokens, and at most one token for each step of the rows.
    assert sum(added.lengths) <= sum(lengths) / 16 + len(lengths) / 16 + max(lengths) / 8 + 2


@given(st.integers(1, 1 << 20))
def test_capacities_are_few_and_close(count: int) -> None:
    found = capacity(count)
    assert count <= found <= count * 17 / 16 + 1
    assert capacity(found) == found


def test_batches_under_a_budget_have_few_shapes() -> None:
    shapes = {capacity(count) for count in range(32_768, 65_537)}
    assert len(shapes) == 17
