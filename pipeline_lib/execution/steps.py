"""The flow: read, tokenize, classify, write. Executors differ in where these steps run, not in what they are."""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import pyarrow as pa

from pipeline_lib.engines.torch_engine import prepare_process
from pipeline_lib.execution.worker import Monitor, Worker
from pipeline_lib.inputs import columns
from pipeline_lib.inputs.reader import Reader
from pipeline_lib.inputs.shards import Slice
from pipeline_lib.planning.plan import Plan, ScoringPlan
from pipeline_lib.planning.resume.score_reuse import with_published_scores
from pipeline_lib.planning.truth import truth_labels
from pipeline_lib.publishing.writer import Writer
from pipeline_lib.scoring.classifier import Classifier
from pipeline_lib.scoring.precision_drift import rows_to_compare
from pipeline_lib.scoring.quarantine import loading_counted, reading_counted, run_with_quarantine
from pipeline_lib.scoring.statistics_columns import with_text_hashes, with_truth
from pipeline_lib.scoring.token_columns import tokens_to_compute
from pipeline_lib.scoring.tokenizer import Tokenizer
from pipeline_lib.storage.records import Receipt

_RECEIPT = "receipt"
_SECONDS_BETWEEN_REPORTS = 0.5
NOTHING_READ = pa.table({})


class Step(Protocol):
    """A step of the flow: a slice's table goes in, and comes out with columns added or dropped."""

    def __init__(self, plan: Plan, worker: Worker) -> None:
        """Load what the step needs."""

    def __call__(self, part: Slice, table: pa.Table) -> pa.Table:
        """Return the slice's table after this step."""


class Read:
    """Reads a slice, and takes over its scores where a published version has them."""

    def __init__(self, plan: Plan, worker: Worker) -> None:
        self._reusable, self._monitor = plan.reusable, worker.monitor
        self._output, self._fields = plan.settings.output.path, plan.score_fields
        self._shards = {shard.number: shard for shard in plan.shards}
        self._read = Reader(plan.settings.input, plan.output_schema, plan.truth_columns)

    def __call__(self, part: Slice, table: pa.Table) -> pa.Table:
        """Return the rows of the slice; the given table is empty."""
        del table
        shard = self._shards[part.shard]
        with self._monitor.working("reader", part), reading_counted(shard.path, part, self._monitor.ledger):
            table = self._read(shard, part)
            earlier = self._reusable.get((part.shard, part.first_row))
            if earlier:
                return with_published_scores(table, earlier, self._output, self._fields)
            return with_text_hashes(table)


class Tokenize:
    """Turns the texts of a slice into token ids."""

    def __init__(self, plan: ScoringPlan, worker: Worker) -> None:
        self._monitor = worker.monitor
        with loading_counted(Tokenizer.name, worker.name, self._monitor.ledger):
            self._tokenizer = Tokenizer(plan)

    def __call__(self, part: Slice, table: pa.Table) -> pa.Table:
        """Return the slice with token ids in place of texts."""
        if columns.LABEL in table.column_names:
            return table
        with self._monitor.working("tokenizer", part):
            return run_with_quarantine(self._tokenizer, part, table, self._monitor.ledger)


class Classify:
    """Turns the token ids of a slice into labels and scores, and compares some rows with float32."""

    def __init__(self, plan: ScoringPlan, worker: Worker) -> None:
        prepare_process(plan.computation.device, worker.threads, worker.place)
        self._monitor = worker.monitor
        self._windows = plan.checkpoint.windows
        self._rows_per_slice, self._compares = plan.settings.tuning.rows_per_slice, plan.compares_with_float32
        with loading_counted(Classifier.name, worker.name, self._monitor.ledger):
            self._classifier = Classifier(plan, worker.gpu_share, worker.monitor.note)
        worker.monitor.loaded_model()

    def __call__(self, part: Slice, table: pa.Table) -> pa.Table:
        """Return the slice with scores in place of token ids."""
        if columns.LABEL not in table.column_names:
            tokens = tokens_to_compute(table, self._windows)
            with self._monitor.working("model", part):
                table = self._classified(part, table)
        else:
            tokens = 0
        self._monitor.scored(part, part.rows, tokens)
        return table

    def _classified(self, part: Slice, table: pa.Table) -> pa.Table:
        scored = run_with_quarantine(
            self._classifier, part, table, self._monitor.ledger, _BatchProgress(part, self._monitor)
        )
        sample = rows_to_compare(part.first_row // self._rows_per_slice, part.rows) if self._compares else None
        return self._classifier.with_drift(scored, table, sample) if sample else scored


class _BatchProgress:
    """Reports the rows of a slice while its batches begin, twice a second at most."""

    def __init__(self, part: Slice, monitor: Monitor) -> None:
        self._part, self._monitor = part, monitor
        self._reported = time.monotonic()
        self._begun: set[int] = set()  # a row may be in several batches, with a window in each

    def __call__(self, rows: Sequence[int]) -> None:
        done = len(self._begun)
        self._begun.update(rows)
        if time.monotonic() - self._reported >= _SECONDS_BETWEEN_REPORTS:
            self._reported = time.monotonic()
            self._monitor.scored(self._part, done)


class Write:
    """Writes the files of a slice."""

    def __init__(self, plan: Plan, worker: Worker) -> None:
        self._writer, self._monitor = Writer(plan), worker.monitor
        self._truth, self._truth_column = (
            truth_labels(plan.settings, plan.checkpoint),
            plan.settings.input.truth_column,
        )

    def __call__(self, part: Slice, table: pa.Table) -> pa.Table:
        """Return the receipt of the written files, as a table of one row."""
        with self._monitor.working("writer", part):
            receipt = self._writer(with_truth(table, self._truth, self._truth_column), part)
        self._monitor.written(part, receipt)
        return pa.table({_RECEIPT: [receipt.model_dump_json()]})


StepMaker = Callable[[Any, Worker], Any]
"""Makes a step of a plan and the worker that it runs in."""


class Steps(NamedTuple):
    """The steps in their order; `Scorer` has others for the first and the last one."""

    read: StepMaker = Read
    tokenize: StepMaker = Tokenize
    classify: StepMaker = Classify
    write: StepMaker = Write


class Flow:
    """Neighbouring steps, one after another in one process.

    Args:
        steps: their classes.
        plan: the run's plan, or that of a `Scorer`.
        worker: the process that this is.
    """

    def __init__(self, steps: Sequence[StepMaker], plan: ScoringPlan, worker: Worker) -> None:
        self._steps: list[Step] = [step(plan, worker) for step in steps]

    def __call__(self, part: Slice, table: pa.Table = NOTHING_READ) -> pa.Table:
        """Return what the steps make of a slice."""
        for step in self._steps:
            table = step(part, table)
        return table


def receipt_of(table: pa.Table) -> Receipt:
    """Return the receipt that the last step gave for a slice."""
    return Receipt.model_validate_json(table.column(_RECEIPT)[0].as_py())
