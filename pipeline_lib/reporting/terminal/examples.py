"""A few rows of a result as examples: only where the settings publish the text."""

import contextlib

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline_lib.errors import NightscoreError
from pipeline_lib.inputs import columns
from pipeline_lib.messages import shortened
from pipeline_lib.planning.plan import Plan
from pipeline_lib.storage.store_errors import translated_errors
from pipeline_lib.storage.urls import location_of

_ROWS = 3
_LONGEST_TEXT = 72
_LONGEST_LABEL = 24


def example_rows(plan: Plan) -> list[str]:
    """Return label, score and text of the first rows of the first part; none where the text is not published."""
    given, output = plan.settings.input, plan.settings.output
    part = next((part for shard in plan.shards for part in shard.slices), None)
    if part is None or given.text_column not in (given.keep_columns or ()):
        return []
    text = columns.output_name(given.text_column, columns.asked_columns(plan.settings))
    names = [f"{output.column_prefix}{name}" for name in (columns.LABEL, columns.SCORE)] + [text]
    file = location_of(output.path) / f"{part.name}.parquet"
    # The result is published: examples that can't be read are no failure.
    with (
        contextlib.suppress(NightscoreError, pa.ArrowException),
        translated_errors(output.path, "reading examples"),
    ):
        with file.open() as content:
            batch = next(pq.ParquetFile(content).iter_batches(_ROWS, columns=names), None)
        return [_line(*(row[name] for name in names)) for row in batch.to_pylist()] if batch else []
    return []


def _line(label: str, score: float, text: str) -> str:
    # A line break would be escaped, which is hard to read.
    words = " ".join(str(text).split())
    return f"{shortened(str(label), _LONGEST_LABEL)} {score:.3f}  {shortened(words, _LONGEST_TEXT)}"
