"""A process that takes sampled slices through the steps of a run, and measures; the output stays as it is."""

import os
import tempfile
import threading
import time
from dataclasses import replace
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier

from pipeline_lib.estimating.sampling.measured_steps import MeasuredSteps, Order
from pipeline_lib.estimating.sampling.sample import FEWEST_ROWS, Measured, Unit, rows_of_a_unit
from pipeline_lib.execution.nights.slice_failures import failure_text
from pipeline_lib.machine.terminal import escaped_output

_UNITS = 8
"""That a process scores at least, if there are as many slices; a few are needed to see how much they differ."""
_SHORTEST_SECONDS = 2.0
"""Slices that take less in all are scored again: clocks and caches need some time."""


def run_order(order: Order, answers: Connection, barrier: Barrier) -> None:
    """Send a failure as text, or what was measured.

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


def _measured(order: Order, folder: str, barrier: Barrier) -> Measured:
    flow = MeasuredSteps(order, folder)
    loaded, computed = time.time() - order.started, time.process_time()
    first = order.slices[0]
    head = replace(first, rows=min(first.rows, FEWEST_ROWS))
    # Kernels are compiled for each new shape of a batch, and caches filled.
    warm = [flow.scored(head)]
    began = time.perf_counter()
    flow.scored(head)
    rate = head.rows / max(time.perf_counter() - began, 1e-6)
    warm.append(flow.scored(replace(first, rows=rows_of_a_unit(first, rate, order.seconds / _UNITS))))
    barrier.wait()
    units, taken = _score(order, flow, rate)
    units += _only_tokenize(order, flow, taken)
    empty = flow.empty_part_bytes(head)
    return Measured(loaded, computed, warm, units, empty, *flow.joined(empty))


def _score(order: Order, flow: MeasuredSteps, rate: float) -> tuple[list[Unit], int]:
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


def _only_tokenize(order: Order, flow: MeasuredSteps, taken: int) -> list[Unit]:
    """Return further slices, of which only the lengths are of interest: these decide the time, and cost little."""
    units = []
    began = time.perf_counter()
    for part in order.slices[taken:]:
        if time.perf_counter() - began >= order.length_seconds:
            break
        units.append(flow.tokenized(part))
    return units
