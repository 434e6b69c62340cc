"""The same steps without Ray, on one table: for notebooks, tests and services.

scorer = Scorer({"model": {"name": "distilbert/distilbert-base-uncased-finetuned-sst-2-english"}})
scorer(pd.DataFrame({"text": ["I hate this so much!"]}))
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import pandas as pd
import pyarrow as pa

from pipeline_lib.engines.computation import computation_of
from pipeline_lib.engines.inspection.inspector import inspect_checkpoint
from pipeline_lib.engines.inspection.packing_check import packs_on_this_gpu
from pipeline_lib.engines.torch_engine import has_gpu
from pipeline_lib.errors import InputError, SettingsError
from pipeline_lib.inputs import columns
from pipeline_lib.inputs.reader import conform_to_schema
from pipeline_lib.inputs.schema import unify_schemas
from pipeline_lib.planning.plan import ScoringPlan
from pipeline_lib.scoring.classifier import Classifier
from pipeline_lib.scoring.tokenizer import Tokenizer
from pipeline_lib.settings.settings import Device, Settings
from pipeline_lib.settings.settings_file import load_settings, parse_settings

_EXAMPLE = "{'model': {'name': '...'}}"

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
        SettingsError: a setting or the device is wrong, or what is given are no settings.
        CheckpointError: the checkpoint can't be found or trusted.
    """

    def __init__(self, settings: Settings | Path | str | Mapping[str, Any], device: str = "cpu") -> None:
        self._settings = _settings(settings)
        _check_device(device)
        checkpoint = inspect_checkpoint(self._settings)
        packed = device == "cuda" and packs_on_this_gpu(self._settings, checkpoint)
        computation = computation_of(self._settings, checkpoint, cast("Device", device), packed=packed)
        plan = ScoringPlan(self._settings, checkpoint, computation)
        self._tokenizer, self._classifier = Tokenizer(plan), Classifier(plan)

    def __call__(self, rows: _T) -> _T:
        """Return the kept columns with label and score, in the order of the rows.

        A row that can't be scored has null scores and the reason's code in `reject`.

        Args:
            rows: a table or frame with the text column of the settings.

        Raises:
            InputError: the text column is missing or holds no text, or a column has no one type.
            TypeError: the rows are neither a table nor a frame.
        """
        table = rows if isinstance(rows, pa.Table) else _table(rows, self._settings.input.text_column)
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
        output_schema, _ = unify_schemas({"the table": table.schema}, self._settings.input)
        return self._tokenizer(conform_to_schema(_numbered(table), self._settings.input, output_schema))

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
        values: dict[str, Any] = {"input": {"path": "-"}, "output": {"path": "-"}}
        for name, section in given.items():
            # What is no section is left to be found wrong with all the rest.
            known = values.get(name)
            values[name] = {**known, **section} if known and isinstance(section, Mapping) else section
        return parse_settings({str(name): section for name, section in values.items()})
    if not isinstance(given, str | os.PathLike):
        raise SettingsError(
            f"expected a settings file, Settings, or sections such as {_EXAMPLE}, found {type(given).__name__}"
        )
    return _from_file(Path(given))


def _from_file(path: Path) -> Settings:
    """Read a settings file; who names a checkpoint in its place is told how to."""
    if path.is_dir() or not (path.exists() or path.suffix in {".yaml", ".yml"}):
        what = "is a folder" if path.is_dir() else "is no file"
        example = _EXAMPLE.replace("...", str(path))
        raise SettingsError(f"{str(path)!r} {what}; expected a settings file; for a checkpoint, give {example}")
    return load_settings(path)


def _check_device(device: str) -> None:
    if device not in {"cpu", "cuda"}:
        raise SettingsError(f"device: {device!r} is neither 'cpu' nor 'cuda'")
    if device == "cuda" and not has_gpu():
        raise SettingsError("device: PyTorch sees no GPU here")


def _table(rows: Any, text_column: str) -> pa.Table:
    if not isinstance(rows, pd.DataFrame):
        raise TypeError(
            f"expected a pandas DataFrame or a pyarrow Table, found {type(rows).__name__}; "
            f"for texts alone give pd.DataFrame({{{text_column!r}: texts}})"
        )
    try:
        return pa.Table.from_pandas(rows, preserve_index=False)
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise InputError("the frame can't be a table: " + " ".join(str(error).split())) from None


def _numbered(table: pa.Table) -> pa.Table:
    """Return a table as the reader gives it: with row numbers, and nothing rejected yet."""
    rows = table.num_rows
    table = table.append_column(columns.ROW, pa.array(range(rows), pa.int64()))
    table = table.append_column(columns.LINE, pa.nulls(rows, pa.int64()))
    for name in (columns.REJECT_CODE, columns.REJECT_MESSAGE):
        table = table.append_column(name, pa.nulls(rows, pa.string()))
    return table
