"""The same steps on a table in memory, without Ray: for notebooks, tests and services.

scorer = Scorer({"model": {"name": "distilbert/distilbert-base-uncased-finetuned-sst-2-english"}})
scorer(pd.DataFrame({"text": ["I hate this so much!"]}))
"""

import itertools
import os
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import pandas as pd
import pyarrow as pa

from pipeline_lib.engines.computation import check_device, computation_of
from pipeline_lib.engines.inspection.inspector import inspect_checkpoint
from pipeline_lib.engines.inspection.packing_check import packs_on_this_gpu
from pipeline_lib.engines.torch_engine import has_gpu
from pipeline_lib.errors import InputError, SettingsError
from pipeline_lib.execution.steps import Flow, Steps
from pipeline_lib.execution.worker import SilentMonitor, Worker
from pipeline_lib.inputs import columns
from pipeline_lib.inputs.reader import conform_to_schema
from pipeline_lib.inputs.schema import unify_schemas
from pipeline_lib.inputs.shards import Slice
from pipeline_lib.planning.plan import ScoringPlan
from pipeline_lib.settings.sections.tuning import Device
from pipeline_lib.settings.settings import Settings
from pipeline_lib.settings.settings_file import Jobs, load_jobs, parse_jobs

_EXAMPLE = "{'model': {'name': '...'}}"

_T = TypeVar("_T", pa.Table, pd.DataFrame)

REJECT = "reject"
"""Column with the code of the reason why a row could not be scored, else null."""


class Scorer:
    """Scores tables in this process with the checkpoint and the rules of a job.

    The settings decide which columns come back, as in a job: `output.scores: all` adds the scores of all labels,
    `output.logits: true` the logits, `output.embedding` a pooled hidden state, and `input.keep_columns` names the
    columns of the table that are kept. With several `models` the columns of all come back side by side and begin
    with the name of their model.

    Args:
        settings: a settings file, validated settings, or sections as dictionaries; `input.path` and
            `output.path` are not used and may be left out of dictionaries.
        device: `cpu` or `cuda`.

    Raises:
        SettingsError: a setting or the device is wrong, or the argument is of another type.
        CheckpointError: the checkpoint can't be found or trusted.
    """

    def __init__(self, settings: Settings | Path | str | Mapping[str, Any], device: str = "cpu") -> None:
        jobs = list(_jobs(settings).values())
        _check_device(device)
        self._text_column = jobs[0].input.text_column  # `input` is the same for all models
        asked = {name for each in jobs for name in columns.asked_columns(each)}
        worker = Worker("scorer", "this machine", None, 1.0, SilentMonitor())
        steps = Steps(read=partial(_TakeTable, asked=asked), write=_SelectColumns)
        self._take_and_tokenize: list[Flow] = []
        # Each with the number of the flow whose token ids it takes.
        self._classify_and_select: list[tuple[int, Flow]] = []
        tokenizing: list[object] = []
        for plan in (_plan(each, cast("Device", device)) for each in jobs):
            if plan.tokenizing not in tokenizing:
                tokenizing.append(plan.tokenizing)
                self._take_and_tokenize.append(Flow(steps[:2], plan, worker))
            self._classify_and_select.append((tokenizing.index(plan.tokenizing), Flow(steps[2:], plan, worker)))
        self._calls = itertools.count()

    def __call__(self, rows: _T) -> _T:
        """Return the kept columns with label and score, in the order of the rows.

        A row that can't be scored has null scores, and in the column `reject` (of several models: of each) the code
        of the reason.

        Args:
            rows: a table or frame with the text column of the settings.

        Raises:
            InputError: the text column is missing or holds no text, or a column has no one type.
            TypeError: the rows are neither a table nor a frame.
        """
        table = rows if isinstance(rows, pa.Table) else _table(rows, self._text_column)
        part = self._as_slice(table)
        tokenized = [flow(part, table) for flow in self._take_and_tokenize]
        result = _side_by_side([flow(part, tokenized[number]) for number, flow in self._classify_and_select])
        if isinstance(rows, pa.Table):
            return cast("_T", result)
        frame = result.to_pandas()
        frame.index = rows.index
        return cast("_T", frame)

    def tokenized(self, table: pa.Table) -> pa.Table:
        """Return a table after the first half of the steps, with token ids; `classified` does the second half.

        Of several models, both are done for the first one alone.

        Raises:
            InputError: the text column is missing or holds no text.
        """
        return self._take_and_tokenize[0](self._as_slice(table), table)

    def classified(self, table: pa.Table) -> pa.Table:
        """Return the kept columns of a tokenized table with label, score and `reject`."""
        return self._classify_and_select[0][1](self._as_slice(table), table)

    def _as_slice(self, table: pa.Table) -> Slice:
        # Each call counts as a new shard, so that rows which crashed in another call are not suspected in this one.
        return Slice(next(self._calls), 0, table.num_rows)


class _TakeTable:
    """The first step: takes the table that is given instead of reading one."""

    def __init__(self, plan: ScoringPlan, worker: Worker, asked: Collection[str]) -> None:
        del worker
        self._settings, self._asked = plan.settings.input, asked

    def __call__(self, part: Slice, table: pa.Table) -> pa.Table:
        del part
        table = table.replace_schema_metadata(None)
        output_schema, _ = unify_schemas({"the table": table.schema}, self._settings, asked=self._asked)
        return conform_to_schema(columns.numbered(table, 0), self._settings, output_schema)


class _SelectColumns:
    """The last step: returns the columns that a part would have, with rejects among the rows."""

    def __init__(self, plan: ScoringPlan, worker: Worker) -> None:
        del worker
        self._score_fields, self._prefix = plan.score_fields, plan.settings.output.column_prefix

    def __call__(self, part: Slice, table: pa.Table) -> pa.Table:
        del part
        added = [field.name for field in self._score_fields]
        kept = [field for field in table.schema if field.name not in {*columns.INTERNAL, *added}]
        schema = pa.schema([*kept, *self._score_fields])
        result = table.select(schema.names).cast(schema)
        result = result.append_column(REJECT, table.column(columns.REJECT_CODE))
        return result.rename_columns({name: self._prefix + name for name in (*added, REJECT)})


def _side_by_side(results: list[pa.Table]) -> pa.Table:
    """Return the kept columns, which all results have, and what each model adds."""
    together, *others = results
    for other in others:
        for name in other.column_names:
            if name not in together.column_names:
                together = together.append_column(name, other.column(name))
    return together


def _plan(settings: Settings, device: Device) -> ScoringPlan:
    check_device(settings, device)
    checkpoint = inspect_checkpoint(settings)
    packed = device == "cuda" and packs_on_this_gpu(settings, checkpoint)
    return ScoringPlan(settings, checkpoint, computation_of(settings, checkpoint, device, packed=packed))


def _jobs(given: Settings | Path | str | Mapping[str, Any]) -> Jobs:
    if isinstance(given, Settings):
        return {"": given}
    if isinstance(given, Mapping):
        values: dict[str, Any] = {"input": {"path": "-"}, "output": {"path": "-"}}
        for name, section in given.items():
            # A value that is no section is kept: the settings are validated as a whole.
            known = values.get(name)
            values[name] = {**known, **section} if known and isinstance(section, Mapping) else section
        return parse_jobs({str(name): section for name, section in values.items()})
    if not isinstance(given, str | os.PathLike):
        raise SettingsError(
            f"expected a settings file, Settings, or sections such as {_EXAMPLE}, found {type(given).__name__}"
        )
    return _from_file(Path(given))


def _from_file(path: Path) -> Jobs:
    """Read a settings file; for a path of a checkpoint, the error says how to name one."""
    if path.is_dir() or not (path.exists() or path.suffix in {".yaml", ".yml"}):
        what = "is a folder" if path.is_dir() else "is no file"
        example = _EXAMPLE.replace("...", str(path))
        raise SettingsError(f"{str(path)!r} {what}; expected a settings file; for a checkpoint, give {example}")
    return load_jobs(path)


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
