"""Reuse of published scores: a version that differs only in kept columns takes them over."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipeline_lib.errors import FaultError
from pipeline_lib.inputs import columns
from pipeline_lib.inputs.shards import Shard
from pipeline_lib.planning.resume.row_spans import RowGroups, Span
from pipeline_lib.planning.version import same_scores
from pipeline_lib.storage.location import Location
from pipeline_lib.storage.records import REJECTS, Drift, Manifest, Receipt, StoredRows, joined_files_of
from pipeline_lib.storage.store_errors import translated_errors, with_retries
from pipeline_lib.storage.urls import location_of


@dataclass(frozen=True)
class PublishedSlice:
    """Where the published rows of a slice are whose scores are taken over."""

    part: Span
    rejects: Span | None
    drift: Drift | None
    computed_by: str
    column_prefix: str = ""
    """Of the columns that have the scores."""


# Slices follow each other in a file, so the next one is mostly in the row groups that were read last.
_parts, _rejects = RowGroups(), RowGroups()

Reusable = Mapping[tuple[int, int], PublishedSlice]
"""By (number of the shard, first row)."""


def can_reuse(published: Manifest | None, fingerprint: Mapping[str, Any]) -> bool:
    """Tell whether the published version has the scores of another version, which may keep other columns.

    Args:
        published: the manifest of what readers see.
        fingerprint: of the other version.
    """
    if published is None or not same_scores(published.fingerprint, fingerprint):
        return False
    # Embeddings of another pooling are a column of the same name and often of the same width.
    pooling = fingerprint["output"].get("embedding")
    has_embedding = pooling in {None, published.fingerprint.get("output", {}).get("embedding")}
    wanted = columns.added_columns(fingerprint["columns"], columns.recorded_prefix(fingerprint))
    found = columns.added_columns(published.columns, columns.recorded_prefix(published.fingerprint))
    return wanted.keys() <= found.keys() and has_embedding


def reusable_slices(
    published: Manifest, shards: Sequence[Shard], with_whole_files: Callable[[Sequence[Receipt]], Iterable[Receipt]]
) -> Reusable:
    """Return the published slices of these shards whose files verify.

    Args:
        published: the manifest of what readers see.
        shards: all of the input.
        with_whole_files: returns the receipts whose files verify.
    """
    by_content = {(shard.path, shard.stamp.size, shard.content): shard for shard in shards}
    wanted: dict[tuple[int, int], tuple[int, Receipt]] = {}
    for receipt in published.slices:
        shard = by_content.get((receipt.path, receipt.size, receipt.content))
        if shard is not None and shard.has_slice(receipt.first_row, receipt.rows):
            wanted[receipt.shard, receipt.first_row] = (shard.number, receipt)
    places, prefix = _places(published), columns.recorded_prefix(published.fingerprint)
    return {
        (wanted[receipt.shard, receipt.first_row][0], receipt.first_row): PublishedSlice(
            *places[receipt.shard, receipt.first_row], receipt.drift, receipt.computed_by, prefix
        )
        for receipt in with_whole_files([receipt for _, receipt in wanted.values()])
    }


def _places(published: Manifest) -> dict[tuple[int, int], tuple[Span, Span | None]]:
    """Return where the scored and the rejected rows of each slice are: in a joined file one slice after another."""
    joined = joined_files_of(published.slices, published.files)
    before: Counter[str] = Counter()
    places: dict[tuple[int, int], tuple[Span, Span | None]] = {}
    for receipt in sorted(published.slices, key=lambda each: (each.shard, each.first_row)):
        stored: StoredRows = joined.get((receipt.shard, receipt.first_row), receipt)
        part, rejects = stored.part, stored.rejects if receipt.rejects else None
        places[receipt.shard, receipt.first_row] = (
            Span(part.file, before[part.file], receipt.scored, part.sha256),
            Span(rejects.file, before[rejects.file], receipt.rejected, rejects.sha256) if rejects else None,
        )
        before[part.file] += receipt.scored
        before[f"{REJECTS}/{part.file}"] += receipt.rejected
    return places


def with_published_scores(
    table: pa.Table, published: PublishedSlice, output: str, fields: Sequence[pa.Field]
) -> pa.Table:
    """Return a slice as read, with the scores and rejects that were published for it.

    Args:
        table: the slice as the reader gives it.
        published: its published files.
        output: the folder that has them.
        fields: the columns to take over.

    Raises:
        FaultError: the files don't hold the slice's rows, or can't be read.
    """
    first_row = table.column(columns.ROW)[0].as_py() if table.num_rows else 0
    folder = location_of(output)
    scores, faults = with_retries(lambda: _published_rows(published, folder, fields, first_row))
    scored = [row for row in range(table.num_rows) if row not in faults]
    if len(scored) != scores.num_rows:
        raise FaultError(
            f"{published.part.file!r} has {scores.num_rows:,} rows of a slice, expected {len(scored):,}; run again"
        )
    # Taking a null index gives a null: rejected rows get no score.
    indices: list[int | None] = [None] * table.num_rows
    for index, row in enumerate(scored):
        indices[row] = index
    taken = scores.take(pa.array(indices, pa.int64()))
    table = columns.rejected(table, faults)
    for field in fields:
        table = table.append_column(field, taken.column(published.column_prefix + field.name).cast(field.type))
    return table


def _published_rows(
    published: PublishedSlice, output: Location, fields: Sequence[pa.Field], first_row: int
) -> tuple[pa.Table, dict[int, tuple[str, str]]]:
    """Return a slice's scored rows, and the code and message of each rejected one by its row in the slice."""
    with translated_errors(output.url, "taking over published scores"):
        names = [published.column_prefix + field.name for field in fields]
        scores = _parts.rows(output, published.part, names)
        if not published.rejects:
            return scores, {}
        rejects = _rejects.rows(output, published.rejects, [columns.ROW_NUMBER, columns.CODE, columns.MESSAGE])
    return scores, {row["row"] - first_row: (row["code"], row["message"]) for row in rejects.to_pylist()}
