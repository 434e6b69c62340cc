"""A process that takes sampled slices through the steps of a run, and measures; the output stays as it is."""

import os
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier

import pyarrow as pa
import pyarrow.compute as pc

from pipeline_lib.estimating.sample import FEWEST_ROWS, Unit, rows_of_a_unit
from pipeline_lib.execution.nights.slice_failures import failure_text
from pipeline_lib.execution.steps import NOTHING_READ, Classify, Read, Tokenize, Write, receipt_of
from pipeline_lib.execution.worker import SilentMonitor, Worker
from pipeline_lib.inputs import columns
from pipeline_lib.inputs.shards import Slice
from pipeline_lib.machine.terminal import escaped_output
from pipeline_lib.planning.plan import Plan

_UNITS = 8
"""That a process scores at least, if there are as many slices; a few are needed to see how much they differ."""
_SHORTEST_SECONDS = 2.0
"""Slices that take less in all are scored again: clocks and caches need some time."""


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


def run_order(order: Order, answers: Connection, barrier: Barrier) -> None:
    """Send a failure as text, or the seconds until the model was loaded, the size of an empty part, and the units.

    The process ends with the one that started it, however that ends.
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if order.gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = str(order.gpu)
    with escaped_output():
        try:
            with tempfile.TemporaryDirectory(prefix="nightscore-sample-") as folder:
                answers.send(_measured(order, folder, barrier))
        except threading.BrokenBarrierError:
            pass  # another process failed, and tells why
        except Exception as error:  # noqa: BLE001 - raised where it is waited for
            answers.send(failure_text(error))
            barrier.abort()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


def _measured(order: Order, folder: str, barrier: Barrier) -> tuple[float, int, list[Unit]]:
    flow = _MeasuredSteps(order, folder)
    loaded = time.time() - order.started
    warm = order.slices[0]
    warm = replace(warm, rows=min(warm.rows, FEWEST_ROWS))
    flow.scored(warm)  # kernels are compiled and caches filled
    began = time.perf_counter()
    flow.scored(warm)
    rate = warm.rows / max(time.perf_counter() - began, 1e-6)
    barrier.wait()
    units, taken = _score(order, flow, rate)
    units += _only_tokenize(order, flow, taken)
    return loaded, flow.empty_part_bytes(warm), units


def _score(order: Order, flow: "_MeasuredSteps", rate: float) -> tuple[list[Unit], int]:
    """Return the scored units, and how many slices were taken; few short ones are repeated."""
    units: list[Unit] = []
    began, rows = time.perf_counter(), 0
    for at, part in enumerate(order.slices):
        spent = time.perf_counter() - began
        if units and (rows >= order.rows or spent >= order.seconds):
            return units, at
        unit = replace(
            part, rows=min(rows_of_a_unit(part, rate, order.seconds / _UNITS), max(order.rows - rows, 1))
        )
        units.append(flow.scored(unit))
        rows += unit.rows
    while order.slices and time.perf_counter() - began < min(_SHORTEST_SECONDS, order.seconds):
        units.append(flow.scored(order.slices[len(units) % len(order.slices)]))
    return units, len(order.slices)


def _only_tokenize(order: Order, flow: "_MeasuredSteps", taken: int) -> list[Unit]:
    """Return further slices, of which only the lengths are of interest: these decide the time, and cost little."""
    units = []
    began = time.perf_counter()
    for part in order.slices[taken:]:
        if time.perf_counter() - began >= order.length_seconds:
            break
        units.append(flow.tokenized(part))
    return units


class _MeasuredSteps:
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
        self._limit = plan.checkpoint.max_tokens

    def scored(self, part: Slice) -> Unit:
        """Return what all steps make of a slice."""
        began = time.perf_counter()
        tokenized = self._tokenize(part, self._read(part, NOTHING_READ))
        tokenized_at = time.perf_counter()
        classified = self._classify(part, tokenized)
        classified_at = time.perf_counter()
        receipt = receipt_of(self._write(part, classified))
        written_at = time.perf_counter()
        times = {
            "tokenizer": tokenized_at - began,
            "model": classified_at - tokenized_at,
            "writer": written_at - classified_at,
        }
        return replace(
            _lengths(part, tokenized),
            rejected=dict(receipt.reject_codes or {}),
            seconds=times,
            part_bytes=receipt.part.bytes,
            reject_bytes=receipt.rejects.bytes if receipt.rejects else 0,
        )

    def tokenized(self, part: Slice) -> Unit:
        """Return the lengths of a slice's texts."""
        return _lengths(part, self._tokenize(part, self._read(part, NOTHING_READ)))

    def empty_part_bytes(self, part: Slice) -> int:
        """Return the size of a part without rows."""
        empty = replace(part, rows=0)
        table = self._tokenize(empty, self._read(part, NOTHING_READ).slice(0, 0))
        return receipt_of(self._write(empty, self._classify(empty, table))).part.bytes


def _lengths(part: Slice, table: pa.Table) -> Unit:
    is_usable = pc.is_null(table.column(columns.REJECT_CODE))
    usable = table.filter(is_usable)
    tokens = int(pc.sum(pc.list_value_length(usable.column(columns.TOKEN_IDS))).as_py() or 0)
    truncated = int(pc.sum(usable.column(columns.TRUNCATED)).as_py() or 0)
    codes = pc.value_counts(table.filter(pc.invert(is_usable)).column(columns.REJECT_CODE)).to_pylist()
    return Unit(part.rows, tokens, truncated, {pair["values"]: pair["counts"] for pair in codes})
