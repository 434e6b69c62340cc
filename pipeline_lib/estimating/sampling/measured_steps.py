"""The steps of a run with a clock around each of them; what they write goes into a temporary folder."""

import io
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline_lib.checkpoints.windows import WindowCut
from pipeline_lib.estimating.sampling.sample import Unit
from pipeline_lib.execution.steps import NOTHING_READ, Classify, Read, Tokenize, Write, receipt_of
from pipeline_lib.execution.worker import SilentMonitor, Worker
from pipeline_lib.inputs import columns
from pipeline_lib.inputs.shards import Slice
from pipeline_lib.planning.plan import Plan
from pipeline_lib.publishing.files.row_groups import HashedFile, write_row_groups
from pipeline_lib.publishing.files.schemas import reject_schema, scored_schema
from pipeline_lib.scoring.token_columns import tokens_to_compute
from pipeline_lib.storage.records import STAGING, FileRecord, Receipt
from pipeline_lib.storage.urls import location_of


@dataclass(frozen=True)
class Order:
    """What a process shall do."""

    plan: Plan
    slices: Sequence[Slice]
    """In the order in which they are taken."""
    rows: int
    """Scored at most."""
    seconds: float
    """After which no further slice is begun."""
    length_seconds: float
    """After which no further slice is tokenized, when those that are scored are done."""
    threads: int | None
    gpu_share: float
    gpu: int | None
    """The GPU's number; None on CPUs."""
    started: float
    """In seconds since 1970."""


class _SamplePlan(Plan):
    """A plan whose rows are not compared with float32, since the share of them that a sample has is another one."""

    @property
    def compares_with_float32(self) -> bool:
        """See `Plan`."""
        return False


class MeasuredSteps:
    """The steps of a run, timed.

    Args:
        order: the plan, and the process's share of the machine.
        folder: where parts are written.
    """

    def __init__(self, order: Order, folder: str) -> None:
        settings = order.plan.settings
        output = settings.output.model_copy(update={"path": folder})
        fields = vars(order.plan) | {"settings": settings.model_copy(update={"output": output}), "reusable": {}}
        plan = _SamplePlan(**fields)
        worker = Worker("sample", "this machine", order.threads, order.gpu_share, SilentMonitor())
        self._read, self._tokenize = Read(plan, worker), Tokenize(plan, worker)
        self._classify, self._write = Classify(plan, worker), Write(plan, worker)
        self._windows = plan.checkpoint.windows
        self._plan, self._receipts = plan, dict[tuple[int, int], Receipt]()

    def scored(self, part: Slice) -> Unit:
        """Return what all steps make of a slice."""
        began = time.perf_counter()
        tokenized = self._tokenize(part, self._read(part, NOTHING_READ))
        tokenized_at = time.perf_counter()
        classified = self._classify(part, tokenized)
        classified_at = time.perf_counter()
        receipt = receipt_of(self._write(part, classified))
        written_at = time.perf_counter()
        self._receipts[part.shard, part.first_row] = receipt
        times = {
            "tokenizer": tokenized_at - began,
            "model": classified_at - tokenized_at,
            "writer": written_at - classified_at,
        }
        return replace(
            _lengths(part, tokenized, self._windows),
            rejected=dict(receipt.reject_codes or {}),
            seconds=times,
            part_bytes=receipt.part.bytes,
            reject_bytes=receipt.rejects.bytes if receipt.rejects else 0,
        )

    def tokenized(self, part: Slice) -> Unit:
        """Return the lengths of a slice's texts."""
        return _lengths(part, self._tokenize(part, self._read(part, NOTHING_READ)), self._windows)

    def empty_part_bytes(self, part: Slice) -> int:
        """Return the size of a part without rows."""
        empty = replace(part, rows=0)
        table = self._tokenize(empty, self._read(part, NOTHING_READ).slice(0, 0))
        return receipt_of(self._write(empty, self._classify(empty, table))).part.bytes

    def joined(self, empty: int) -> tuple[float, float]:
        """Return `joined_share` and `joined_file_bytes` of `Measured`, from all scored rows in one file.

        Args:
            empty: bytes of a file without rows.
        """
        receipts = list(self._receipts.values())
        kinds = [
            ([each.part for each in receipts], scored_schema(self._plan)),
            ([each.rejects for each in receipts if each.rejects], reject_schema(self._plan)),
        ]
        rows_bytes = file_bytes = slices_bytes = 0.0
        for records, schema in kinds:
            if records:
                own, joined = sum(each.bytes for each in records), self._joined_bytes(records, schema)
                fixed = max((own - joined) / (len(records) - 1), 0) if len(records) > 1 else min(empty, own)
                rows_bytes, file_bytes = rows_bytes + max(joined - fixed, 0), file_bytes + fixed
                slices_bytes += own
        return rows_bytes / max(slices_bytes, 1), file_bytes

    def _joined_bytes(self, records: Sequence[FileRecord], schema: pa.Schema) -> int:
        staging = location_of(self._plan.settings.output.path) / STAGING / self._plan.version
        joined = HashedFile(io.BytesIO())
        tables = (
            pq.ParquetFile(io.BytesIO((staging / each.file).read() or b"")).read().cast(schema) for each in records
        )
        write_row_groups(tables, schema, joined)
        return joined.size


def _lengths(part: Slice, table: pa.Table, windows: WindowCut | None) -> Unit:
    is_usable = pc.is_null(table.column(columns.REJECT_CODE))
    usable = table.filter(is_usable)
    tokens = tokens_to_compute(usable, windows)
    truncated = int(pc.sum(usable.column(columns.TRUNCATED)).as_py() or 0)
    codes = pc.value_counts(table.filter(pc.invert(is_usable)).column(columns.REJECT_CODE)).to_pylist()
    return Unit(part.rows, tokens, truncated, {pair["values"]: pair["counts"] for pair in codes})
