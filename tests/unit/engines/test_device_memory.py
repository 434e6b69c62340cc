"""What a GPU's actor may take, where a second copy of the model goes, and what is done when memory runs out."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib import Scorer
from pipeline_lib.engines.device_memory import left_of_share, left_on_host, probed_lengths, stretched
from pipeline_lib.engines.engine import Engine
from pipeline_lib.errors import SettingsError
from pipeline_lib.scoring.float32_reference import Float32Reference, note_or_refuse
from pipeline_lib.scoring.precision_drift import ROWS, Comparison, at_most, where_to_compare
from tests.helpers import poisoned

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
    left = left_of_share(free, total, held, share)
    assert 0 <= left <= free
    assert left + held <= max(total * min(share, 1.0), held)


def test_what_other_actors_hold_is_not_counted_on() -> None:
    assert left_of_share(free=30 * GIB, total=80 * GIB, held=10 * GIB, share=1.0) == 30 * GIB
    assert left_of_share(free=70 * GIB, total=80 * GIB, held=10 * GIB, share=0.25) == 10 * GIB
    assert left_of_share(free=5 * GIB, total=24 * GIB, held=15 * GIB, share=0.5) == 0


@pytest.mark.parametrize(
    ("copy", "on_gpu", "on_host", "where"),
    [
        (1 * GIB, 20 * GIB, 100 * GIB, Comparison("cuda", ROWS)),
        # A model of 7 billion parameters in bfloat16 on cards of 24 and 40 GB.
        (28 * GIB, 9 * GIB, 500 * GIB, None),
        (28 * GIB, 25 * GIB, 500 * GIB, None),
        (28 * GIB, 62 * GIB, 1 * GIB, Comparison("cuda", ROWS)),
        (2 * GIB, 3 * GIB, 64 * GIB, Comparison("cpu", 4)),
        (2 * GIB, 3 * GIB, 15 * GIB, None),
        (2 * GIB, 3 * GIB, 0, None),
    ],
)
def test_float32_is_compared_where_there_is_room(
    copy: int, on_gpu: int, on_host: int, where: Comparison | None
) -> None:
    assert where_to_compare(copy, on_gpu, on_host) == where


@given(rows=st.integers(0, 300), most=st.integers(1, 64))
def test_fewer_rows_are_spread_evenly(rows: int, most: int) -> None:
    found = at_most(np.arange(rows), most)
    assert len(found) <= most
    assert len(found) >= min(rows, (most + 1) // 2)
    assert len(set(np.diff(found))) <= 1


def test_this_machine_tells_its_memory() -> None:
    assert left_on_host() > 100 << 20


@given(
    limit=st.one_of(st.none(), st.integers(3, 40_000)), probe=st.lists(st.integers(0, 99), min_size=1, max_size=99)
)
def test_rows_are_measured_up_to_the_limit_and_hold_known_ids(limit: int | None, probe: list[int]) -> None:
    short, long = probed_lengths(limit)
    assert 0 < short <= long == (limit or 512)
    for length in (short, long):
        row = stretched(probe, length)
        assert len(row) == length
        assert set(row.tolist()) <= set(probe)


def test_a_copy_that_memory_runs_out_for_is_told_once_and_not_tried_again() -> None:
    tried: list[str] = []
    told: list[str] = []

    def load(device: str) -> Engine:
        tried.append(device)
        raise MemoryError

    reference = Float32Reference(load, "cpu", 1.0, note_or_refuse(told.append, None))
    assert (reference.get(1), reference.get(1)) == (None, None)
    assert tried == ["cpu"]
    assert told == [
        "the drift from float32 is not measured: memory ran out while the float32 copy of the model was loaded"
    ]
    with pytest.raises(
        SettingsError, match=r"limits\.max_precision_drift: 0\.1 can't be checked here: memory ran out"
    ):
        Float32Reference(load, "cpu", 1.0, note_or_refuse(told.append, 0.1)).get(1)


def test_memory_that_runs_out_makes_batches_smaller_for_good_and_loses_no_row(
    checkpoint: Path, tmp_path: Path
) -> None:
    refused = tmp_path / "refused"
    hungry = poisoned.build(checkpoint, tmp_path / "hungry", refused, room=100)
    words = ("good", "bad", "fine", "great", "awful", "average", "okay", "wonderful")
    texts = pa.table({"text": [f"{one} {two}" for one in words for two in words]})
    model, tuning = {"name": str(hungry), "allow_remote_code": True}, {"tokens_per_batch": 300}
    scorer = Scorer({"model": model, "tuning": tuning})
    found = scorer(texts)
    assert len(refused.read_text()) >= 2
    refused.unlink()
    again = scorer(texts)
    assert not refused.exists(), "batches that are too large were tried again"
    whole = Scorer({"model": {"name": str(checkpoint)}, "tuning": tuning})(texts)
    for scored in (found, again):
        assert scored.column("label").equals(whole.column("label"))
        np.testing.assert_allclose(scored.column("score"), whole.column("score"), rtol=0, atol=1e-5)
