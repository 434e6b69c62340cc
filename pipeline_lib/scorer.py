"""The same steps without Ray, on one table: for notebooks, tests and services.

scorer = Scorer({"model": {"name": "distilbert/distilbert-base-uncased-finetuned-sst-2-english"}})
scorer(pd.DataFrame({"text": ["I hate this so much!"]}))
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import pandas as pd
import pyarrow as pa

from pipeline_lib import columns
from pipeline_lib.classifier import Classifier
from pipeline_lib.config import Device, Settings
from pipeline_lib.examiner import examine
from pipeline_lib.layout import lay_out
from pipeline_lib.reader import shaped
from pipeline_lib.settings_file import load_settings, parse_settings
from pipeline_lib.tokenizer import Tokenizer

_T = TypeVar("_T", pa.Table, pd.DataFrame)

REJECT = "reject"
"""Column with the code of a row that could not be scored, else null."""


class Scorer:
    """Scores tables in this process with the checkpoint and the rules of a job.

    Args:
        settings: a settings file, validated settings, or sections as dictionaries; `input.path` and
            `output.path` are not looked at and may be left out of dictionaries.
        device: `cpu` or `cuda`.

    Raises:
        SettingsError: a setting is wrong.
        CheckpointError: the checkpoint can't be found or trusted.
    """

    def __init__(self, settings: Settings | Path | str | Mapping[str, Any], device: str = "cpu") -> None:
        self._settings = _settings(settings)
        checkpoint = examine(self._settings)
        self._tokenizer = Tokenizer(self._settings, checkpoint)
        self._classifier = Classifier(self._settings, checkpoint, cast("Device", device))

    def __call__(self, rows: _T) -> _T:
        """Return the kept columns with label and score, in the order of the rows.

        A row that can't be scored has null scores and the reason's code in `reject`.

        Args:
            rows: a table or frame with the text column of the settings.

        Raises:
            InputError: the text column is missing or holds no text.
        """
        table = rows if isinstance(rows, pa.Table) else pa.Table.from_pandas(rows, preserve_index=False)
        result = self.classified(self.tokenized(table))
        if isinstance(rows, pa.Table):
            return cast("_T", result)
        frame = result.to_pandas()
        frame.index = rows.index
        return cast("_T", frame)

    def tokenized(self, table: pa.Table) -> pa.Table:
        """Take a table through the first step; `classified` takes it through the second.

        Raises:
            InputError: the text column is missing or holds no text.
        """
        table = table.replace_schema_metadata(None)
        layout, _ = lay_out({"the table": table.schema}, self._settings.input)
        return self._tokenizer(shaped(_numbered(table), self._settings.input, layout))

    def classified(self, table: pa.Table) -> pa.Table:
        """Return a tokenized table's kept columns with label, score and `reject`."""
        scored = self._classifier(table)
        output = self._settings.output
        added = columns.score_fields(scores=output.scores == "all", logits=output.logits)
        kept = [field for field in scored.schema if field.name not in {*columns.INTERNAL, *columns.OUTPUT}]
        schema = pa.schema([*kept, *added])
        result = scored.select(schema.names).cast(schema)
        return result.append_column(REJECT, scored.column(columns.REJECT_CODE))


def _settings(given: Settings | Path | str | Mapping[str, Any]) -> Settings:
    if isinstance(given, Settings):
        return given
    if isinstance(given, Mapping):
        unused = {"input": {"path": "-"}, "output": {"path": "-"}}
        values = {**unused, **{name: {**unused.get(name, {}), **section} for name, section in given.items()}}
        return parse_settings(values)
    return load_settings(Path(given))


def _numbered(table: pa.Table) -> pa.Table:
    """Return a table as the reader gives it: with row numbers, and nothing rejected yet."""
    rows = table.num_rows
    table = table.append_column(columns.ROW, pa.array(range(rows), pa.int64()))
    table = table.append_column(columns.LINE, pa.nulls(rows, pa.int64()))
    for name in (columns.REJECT_CODE, columns.REJECT_MESSAGE):
        table = table.append_column(name, pa.nulls(rows, pa.string()))
    return table
