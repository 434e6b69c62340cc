"""The drift of half precision from float32: measured on a sample of rows, kept in columns, merged over slices."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline_lib.checkpoints.activation import Floats
from pipeline_lib.inputs import columns
from pipeline_lib.settings.sections.tuning import Device
from pipeline_lib.storage.records import Drift

ROWS = 32
"""About how many rows of a slice are compared."""

_FEWER_ROWS = 4
# The float32 copy, and as much again for its batches and for larger batches of the run.
_COPIES_ON_GPU = 2
# Each row of a larger model would take many seconds of one CPU thread, while the GPU waits.
_LARGEST_ON_CPU = 4 << 30
# As many actors as a machine usually has GPUs may load a copy at the same time.
_COPIES_ON_HOST = 8
_SLICES_APART = 8


def rows_to_compare(number: int, rows: int) -> slice | None:
    """Return which rows of a slice are scored in float32 too, or None where none are.

    Decided by the slice alone, so that a run that was killed and one that was not compare the same rows: some rows,
    evenly spread, of a shard's first slice and of every eighth after it.

    Args:
        number: of the slice in its shard.
        rows: in the slice.
    """
    if rows == 0 or number % _SLICES_APART:
        return None
    return slice(0, rows, max(rows // ROWS, 1))


@dataclass(frozen=True)
class Comparison:
    """Where a sample is scored in float32."""

    device: Device
    rows: int = ROWS
    """Of a slice, about."""


def place_reference(copy: int, on_gpu: int, on_host: int) -> Comparison | None:
    """Return where there is room for a copy of the model in float32, or None where there is none.

    Beside the model on its GPU if it fits with room to spare, else on the CPU, with fewer rows since that is slow.

    Args:
        copy: bytes of the model in float32.
        on_gpu: bytes left on the GPU.
        on_host: bytes left in the machine's memory.
    """
    if copy * _COPIES_ON_GPU <= on_gpu:
        return Comparison("cuda")
    if copy <= min(_LARGEST_ON_CPU, on_host // _COPIES_ON_HOST):
        return Comparison("cpu", _FEWER_ROWS)
    return None


def spread_evenly(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return some of the rows, evenly spread, or all where they are not more."""
    return rows[:: max(-(-len(rows) // most), 1)]


def compare_scores(half: Floats, full: Floats) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Compare scores of shape [rows, labels] in half precision with those in float32.

    Half precision that is not finite where float32 is counts as a difference of 1 and another label.

    Returns:
        For each row the largest difference, NaN where float32 is not finite, and whether the label differs.
    """
    lost = np.logical_not(np.isfinite(half).all(axis=1))
    gap = np.where(lost.reshape(-1, 1), 1.0, np.abs(half.astype(np.float64) - full)).max(axis=1, initial=0.0)
    flips = lost | (np.nan_to_num(half).argmax(axis=1) != np.nan_to_num(full).argmax(axis=1))
    return np.where(np.isfinite(full).all(axis=1), gap, np.nan), flips


def merge_drifts(drifts: Iterable[Drift | None]) -> Drift | None:
    """Return the drift of several samples together, or None where nothing was compared."""
    measured = [drift for drift in drifts if drift is not None]
    if not measured:
        return None
    return Drift(
        rows=sum(drift.rows for drift in measured),
        flips=sum(drift.flips for drift in measured),
        largest=max(drift.largest for drift in measured),
    )


def with_drift(
    table: pa.Table, rows: NDArray[np.int64], gaps: NDArray[np.float64], flips: NDArray[np.bool_]
) -> pa.Table:
    """Return a slice's table with the drift of some of its rows.

    Args:
        table: the slice.
        rows: those that were compared.
        gaps: of each the largest difference of its scores, or NaN.
        flips: whether each has another label.
    """
    counted = np.isfinite(gaps)
    where = np.full(table.num_rows, -1)
    where[rows[counted]] = np.arange(int(counted.sum()))
    taken = pa.array(where, mask=where < 0)
    table = table.append_column(columns.DRIFT, pa.array(gaps[counted]).take(taken))
    return table.append_column(columns.FLIPPED, pa.array(flips[counted]).take(taken))


def drift_of(table: pa.Table) -> Drift | None:
    """Return the drift of a slice's rows together, or None where nothing was compared."""
    if columns.DRIFT not in table.column_names:
        return None
    gaps, flips = table.column(columns.DRIFT).drop_null(), table.column(columns.FLIPPED).drop_null()
    largest = float(np.max(gaps.to_numpy(), initial=0.0))
    return Drift(rows=len(gaps), flips=sum(flips.to_pylist()), largest=largest)
