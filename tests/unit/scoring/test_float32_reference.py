"""Where a second copy of the model in float32 goes, and what is compared with it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.engines.engine import Engine
from pipeline_lib.errors import SettingsError
from pipeline_lib.scoring.float32_reference import Float32Reference, note_or_refuse
from pipeline_lib.scoring.precision_drift import ROWS, Comparison, place_reference, spread_evenly
from pipeline_lib.settings.sections.limits import LimitSettings

GIB = 1 << 30


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
    assert place_reference(copy, on_gpu, on_host) == where


@given(rows=st.integers(0, 300), most=st.integers(1, 64))
def test_fewer_rows_are_spread_evenly(rows: int, most: int) -> None:
    found = spread_evenly(np.arange(rows), most)
    assert len(found) <= most
    assert len(found) >= min(rows, (most + 1) // 2)
    assert len(set(np.diff(found))) <= 1


def test_a_float32_copy_without_memory_is_reported_once_and_not_tried_again() -> None:
    tried: list[str] = []
    told: list[str] = []

    def load(device: str) -> Engine:
        tried.append(device)
        raise MemoryError

    reference = Float32Reference(load, "cpu", 1.0, note_or_refuse(told.append, LimitSettings()))
    assert (reference.get(1), reference.get(1)) == (None, None)
    assert tried == ["cpu"]
    assert told == [
        "the drift from float32 is not measured: memory ran out while the float32 copy of the model was loaded"
    ]
    with pytest.raises(
        SettingsError, match=r"limits\.max_precision_drift: 0\.1 can't be checked here: memory ran out"
    ):
        Float32Reference(load, "cpu", 1.0, note_or_refuse(told.append, LimitSettings(max_precision_drift=0.1))).get(
            1
        )
