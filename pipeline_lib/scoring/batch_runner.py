"""Run the rows of a slice through an engine: in micro-batches of like lengths, halved where one fails."""

import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline_lib.engines.batching import BatchMemory, equal_length_batches, micro_batches
from pipeline_lib.engines.device_memory import measure_batch_memory
from pipeline_lib.engines.engine import Engine, Fetch, Floats, Rows, compute_by_halves, is_out_of_memory
from pipeline_lib.planning.plan import ScoringPlan
from pipeline_lib.scoring.stage import OnBatch
from pipeline_lib.scoring.token_columns import DistinctRows
from pipeline_lib.scoring.windows import JoinedAnswers, Windows

# Enough that a GPU never waits; the answers of more batches than these would only take memory.
_MOST_STARTED = 32

Faults = dict[int, tuple[str, str]]
"""Rows that can't be scored: the code and the message of each."""


class BatchRunner:
    """Computes the logits of a slice's rows, and their embeddings, batch by batch.

    Args:
        plan: has the checkpoint, and the largest batch.
        engine: the run's; memory that runs out in it makes later batches smaller.
        gpu_share: the share of a GPU that is this process's.
        note: called with what a user should know and is no failure.
    """

    def __init__(self, plan: ScoringPlan, engine: Engine, gpu_share: float, note: Callable[[str], None]) -> None:
        self._checkpoint, self._device = plan.checkpoint, plan.computation.device
        self._width = len(plan.checkpoint.labels) + plan.checkpoint.embedding_width
        self._engine, self._note = engine, note
        cut = micro_batches if plan.checkpoint.pads_safely else equal_length_batches
        self._batches = partial(cut, token_budget=plan.computation.tokens_per_batch)
        # A budget that the settings name is tried as it is; batches that prove too large are halved from then on.
        measured = self._device != "cpu" and not plan.settings.tuning.tokens_per_batch
        self._memory = (
            measure_batch_memory(engine, plan.checkpoint.probe, plan.checkpoint.max_tokens, gpu_share)
            if measured
            else BatchMemory()
        )

    def answers(
        self,
        table: pa.Table,
        rows: Rows,
        on_batch: OnBatch | None = None,
        *,
        one_by_one: bool = False,
        engine: Engine | None = None,
    ) -> tuple[Floats, Faults]:
        """Return the logits of some rows, and the faults of those that the model can't compute.

        The logits have the shape [rows, labels]; with embeddings behind them [rows, labels + width].

        Args:
            table: a tokenized slice.
            rows: their numbers in the table.
            on_batch: called with the rows of each batch before it starts.
            one_by_one: whether a batch starts only when the last one is done.
            engine: another one than the run's.

        Raises:
            DeviceError: the model fails on everything.
            FaultError: a single row is too large for the device.
        """
        texts = DistinctRows.of(table, rows)
        windows = Windows(texts, self._checkpoint.windows)
        batches = _Batches(self, engine or self._engine, windows, windows.joined(self._width))
        started: deque[tuple[Rows, Fetch | None]] = deque()
        for batch in self._fitting(windows.lengths):
            if on_batch:
                on_batch(rows[texts.first[list(dict.fromkeys(windows.text[batch].tolist()))]].tolist())
            fetch = None
            with contextlib.suppress(Exception):
                fetch = batches.start(batch)
            if one_by_one:
                batches.finish(batch, fetch)
            else:
                started.append((batch, fetch))
            if len(started) > _MOST_STARTED:
                batches.finish(*started.popleft())
        for batch, fetch in started:
            batches.finish(batch, fetch)
        numbered = zip(rows, texts.same.tolist(), strict=True)
        faults = {int(row): batches.faults[number] for row, number in numbered if number in batches.faults}
        return batches.joined.result()[texts.same], faults

    def start(self, engine: Engine, windows: Windows, batch: Rows) -> Fetch:
        """Start a batch; where memory runs out for it, batches are smaller from then on."""
        try:
            return engine.start(*windows.ids(batch))
        except Exception as error:
            if engine is self._engine and is_out_of_memory(error):
                self._shrink_memory(windows.lengths[batch])
            raise

    def split(self, batch: Rows, lengths: NDArray[np.int32]) -> Iterator[Rows]:
        """Yield a batch in as many parts as there is memory for."""
        return self._memory.split(batch, lengths)

    def check_engine(self, engine: Engine) -> None:
        """Compute a row that the model is known to answer.

        Raises:
            DeviceError: it fails.
        """
        engine.check(self._checkpoint.probe)

    def _fitting(self, lengths: NDArray[np.int32]) -> Iterator[Rows]:
        """Yield batches under the token budget, in as many parts as there is memory for by then."""
        for batch in self._batches(lengths):
            yield from self._memory.split(batch, lengths)

    def _shrink_memory(self, lengths: NDArray[np.int32]) -> None:
        """Make batches smaller for good after memory ran out over one with rows of these lengths."""
        longest = int(lengths.max())
        smaller = self._memory.after_failure(len(lengths), longest)
        if smaller != self._memory:
            self._memory = smaller
            self._note(
                f"out of memory on {self._device.upper()} over {len(lengths):,} rows of up to {longest:,} tokens; "
                "batches that take more than half of that are halved from now on"
            )


class _Batches:
    """The batches of one slice, and what became of their texts."""

    def __init__(self, runner: BatchRunner, engine: Engine, windows: Windows, joined: JoinedAnswers) -> None:
        self._runner, self._engine, self._windows = runner, engine, windows
        self.joined = joined
        self.faults: Faults = {}
        """By number of the text."""

    def start(self, batch: Rows) -> Fetch:
        return self._runner.start(self._engine, self._windows, batch)

    def finish(self, batch: Rows, fetch: Fetch | None) -> None:
        """Keep a batch's answers; where it failed, compute its halves, and theirs."""
        answers = None
        with contextlib.suppress(Exception):
            answers = fetch() if fetch else None
        if answers is not None:
            self.joined.add(batch, answers)
            return
        # Halving computes the batch anew, so the error comes again; there may be less memory than before.
        for part in self._runner.split(batch, self._windows.lengths):
            self.joined.add(part, compute_by_halves(lambda rows: self.start(rows)(), part, self._compute_alone))

    def _compute_alone(self, window: Rows, error: Exception) -> Floats:
        """Compute a window that failed alone once more; reject its text if it fails again while others work."""
        with contextlib.suppress(Exception):
            return self.start(window)()
        self._runner.check_engine(self._engine)
        text = int(self._windows.text[window[0]])
        self.faults[text] = ("model_failed", f"the model fails on this text: {type(error).__name__}")
        return np.full((1, self.joined.width), np.nan, np.float32)
