"""Columns that a slice has for its statistics alone: a number in place of each text, and the index of the truth."""

import pyarrow as pa

from pipeline_lib.inputs import columns
from pipeline_lib.statistics.text_sample import text_hashes
from pipeline_lib.statistics.truth import TruthLabels

# No text in UTF-8 has this byte, so that no two pairs are the same bytes.
_BETWEEN = b"\xff"


def with_text_hashes(table: pa.Table) -> pa.Table:
    """Return a slice as read with the number of each text, or of both texts of a pair."""
    texts = [text or b"" for text in table.column(columns.TEXT).to_pylist()]
    if columns.PAIR in table.column_names:
        seconds = table.column(columns.PAIR).to_pylist()
        texts = [text + _BETWEEN + second if second else text for text, second in zip(texts, seconds, strict=True)]
    return table.append_column(columns.TEXT_HASH, pa.array(text_hashes(texts), pa.uint64()))


def with_truth(table: pa.Table, labels: TruthLabels, column: str | None) -> pa.Table:
    """Return a slice with the index of each true label in place of the values of the input, if it has truth.

    Args:
        table: with the values of the input, maybe also those of other models.
        labels: of the model.
        column: of the input, with the true labels of this model.
    """
    given = [name for name in table.column_names if name.startswith(columns.TRUTH)]
    name = columns.truth_of(column) if column else ""
    if name in given:
        indices = pa.array(labels.indices(table.column(name).to_pylist()), pa.int64())
        table = table.append_column(columns.TRUTH, indices)
    return table.drop_columns(given)
