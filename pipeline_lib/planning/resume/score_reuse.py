"""Scores of a published version that differs in kept columns alone: taken over, not computed again."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline_lib.errors import FaultError
from pipeline_lib.inputs import columns
from pipeline_lib.inputs.shards import Shard
from pipeline_lib.planning.version import same_scores
from pipeline_lib.settings.settings import Settings
from pipeline_lib.storage.location import Location
from pipeline_lib.storage.records import Drift, Manifest, Receipt
from pipeline_lib.storage.store_errors import translated_errors
from pipeline_lib.storage.urls import location_of


@dataclass(frozen=True)
class EarlierSlice:
    """The published files of a slice whose scores are still right."""

    part: str
    """Name below the output folder, as the next one."""
    rejects: str | None
    drift: Drift | None
    computed_by: str


Reusable = Mapping[tuple[int, int], EarlierSlice]
"""By (number of the shard, first row)."""


def can_reuse(published: Manifest | None, fingerprint: Mapping[str, Any]) -> bool:
    """Tell whether what is published has the very scores that are wanted, beside other columns.

    Args:
        published: what readers see.
        fingerprint: of the version that is wanted.
    """
    if published is None or not same_scores(published.fingerprint, fingerprint):
        return False
    wanted = set(fingerprint["columns"]) & set(columns.OUTPUT)
    return wanted <= set(published.columns)


def reusable_slices(
    published: Manifest, shards: Sequence[Shard], whole_ones: Callable[[Sequence[Receipt]], Sequence[Receipt]]
) -> Reusable:
    """Return the published slices of these shards that stand whole, for a version of the same scores.

    Args:
        published: the manifest of what readers see.
        shards: all of the input.
        whole_ones: returns those receipts whose files stand and verify.
    """
    by_content = {(shard.path, shard.stamp.size, shard.content): shard for shard in shards}
    wanted: dict[tuple[int, int], tuple[int, Receipt]] = {}
    for receipt in published.slices:
        shard = by_content.get((receipt.path, receipt.size, receipt.content))
        if shard is not None and shard.has_slice(receipt.first_row, receipt.rows):
            wanted[receipt.shard, receipt.first_row] = (shard.number, receipt)
    return {
        (wanted[receipt.shard, receipt.first_row][0], receipt.first_row): EarlierSlice(
            receipt.part.file,
            receipt.rejects.file if receipt.rejects else None,
            receipt.drift,
            receipt.computed_by,
        )
        for receipt in whole_ones([receipt for _, receipt in wanted.values()])
    }


def with_earlier_scores(table: pa.Table, earlier: EarlierSlice, settings: Settings) -> pa.Table:
    """Return a slice as read, with the scores and rejects that were published for it.

    Args:
        table: the slice as the reader gives it.
        earlier: its published files.
        settings: the job's settings.

    Raises:
        FaultError: the files don't hold the slice's rows, or can't be read.
    """
    output = settings.output
    folder = location_of(output.path)
    added = columns.score_fields(scores=output.scores == "all", logits=output.logits)
    with translated_errors(output.path, "taking over published scores"):
        scores = _read(folder / earlier.part, [field.name for field in added])
        rejects = (
            _read(folder / earlier.rejects, [columns.ROW_NUMBER, columns.CODE, columns.MESSAGE])
            if earlier.rejects
            else None
        )
    faults: dict[int, tuple[str, str]] = {}
    if rejects is not None:
        first_row = table.column(columns.ROW)[0].as_py()
        faults = {row["row"] - first_row: (row["code"], row["message"]) for row in rejects.to_pylist()}
    scored = [row for row in range(table.num_rows) if row not in faults]
    if len(scored) != scores.num_rows:
        raise FaultError(f"{earlier.part!r} has {scores.num_rows:,} rows, expected {len(scored):,}; run again")
    # Taking a null index gives a null: rejected rows get no score.
    places: list[int | None] = [None] * table.num_rows
    for place, row in enumerate(scored):
        places[row] = place
    taken = scores.take(pa.array(places, pa.int64()))
    table = columns.rejected(table, faults)
    for field in added:
        table = table.append_column(field, taken.column(field.name).cast(field.type))
    return table


def _read(file: Location, names: list[str]) -> pa.Table:
    with file.open() as content:
        return pq.read_table(content, columns=names)
