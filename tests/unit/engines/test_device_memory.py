"""What a GPU's actor may take, and the rows whose memory is measured."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.engines.device_memory import free_bytes_of_share, free_host_bytes, measured_lengths, row_of_length

GIB = 1 << 30


@given(
    free=st.integers(0, 80 * GIB),
    total=st.integers(1, 80 * GIB),
    held=st.integers(0, 80 * GIB),
    share=st.floats(0.01, 8),
)
def test_an_actor_takes_no_more_than_is_free_and_than_its_share(
    free: int, total: int, held: int, share: float
) -> None:
    left = free_bytes_of_share(free, total, held, share)
    assert 0 <= left <= free
    assert left + held <= max(total * min(share, 1.0), held)


def test_what_other_actors_hold_is_not_counted_on() -> None:
    assert free_bytes_of_share(free=30 * GIB, total=80 * GIB, held=10 * GIB, share=1.0) == 30 * GIB
    assert free_bytes_of_share(free=70 * GIB, total=80 * GIB, held=10 * GIB, share=0.25) == 10 * GIB
    assert free_bytes_of_share(free=5 * GIB, total=24 * GIB, held=15 * GIB, share=0.5) == 0


def test_the_memory_of_this_machine_is_known() -> None:
    assert free_host_bytes() > 100 << 20


@given(
    limit=st.one_of(st.none(), st.integers(3, 40_000)), probe=st.lists(st.integers(0, 99), min_size=1, max_size=99)
)
def test_rows_are_measured_up_to_the_limit_and_hold_known_ids(limit: int | None, probe: list[int]) -> None:
    short, long = measured_lengths(limit)
    assert 0 < short <= long == (limit or 512)
    for length in (short, long):
        row = row_of_length(probe, length)
        assert len(row) == length
        assert set(row.tolist()) <= set(probe)
