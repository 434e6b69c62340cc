"""Classify: token ids become logits, scores and labels, in micro-batches of like lengths."""

import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline_lib import columns
from pipeline_lib.batching import distinct, equal_length_batches, micro_batches
from pipeline_lib.checkpoint import Checkpoint, fingerprint, locate
from pipeline_lib.computation import TOKENS_PER_BATCH, computation_of, computed_by, with_computed_by
from pipeline_lib.config import Device, Settings
from pipeline_lib.drift import compared
from pipeline_lib.engine import Engine, Fetch, Floats, Rows, halving
from pipeline_lib.engines import load_engine
from pipeline_lib.errors import CheckpointError
from pipeline_lib.manifest import Drift
from pipeline_lib.scores import activate, top
from pipeline_lib.torch_engine import budget_on_gpu

OnBatch = Callable[[Sequence[int]], None]


class Classifier:
    """The checkpoint's model, applied to the token ids of a slice.

    Args:
        settings: the job's settings.
        checkpoint: the examined checkpoint.
        device: `cpu` or `cuda`.

    Raises:
        CheckpointError: the checkpoint is another one here than where it was examined.
    """

    name = "model"
    reads = (columns.TOKEN_IDS, columns.TYPE_IDS)

    def __init__(self, settings: Settings, checkpoint: Checkpoint, device: Device = "cpu") -> None:
        folder, _ = locate(settings.model, checkpoint.commit)
        if fingerprint(folder, settings.model) != checkpoint.fingerprint:
            raise CheckpointError(f"model.name: {checkpoint.name!r} holds other files on this worker")
        self._load = partial(load_engine, folder, settings.model, checkpoint, device)
        self._engine = self._load(settings.model.precision)
        self._full: Engine | None = None
        self._checkpoint = checkpoint
        self._settings = settings
        self._computed_by = computed_by(computation_of(settings, checkpoint, device), device)
        cut = micro_batches if checkpoint.pads_safely else equal_length_batches
        self._batches = partial(cut, token_budget=settings.tuning.tokens_per_batch or self._budget(device))

    def __call__(self, table: pa.Table, on_batch: OnBatch | None = None, *, one_by_one: bool = False) -> pa.Table:
        """Replace the token ids by label and score; rows whose logits are not finite are rejected.

        Rows keep their order; rejected rows have null scores.

        Args:
            table: a tokenized slice.
            on_batch: told which rows go through the model next.
            one_by_one: whether a batch starts only when the last one is done, so that a failure tells where it is.

        Raises:
            DeviceError: the model fails on everything.
            FaultError: a single row is too large for the device.
        """
        rows = np.flatnonzero(pc.is_null(table.column(columns.REJECT_CODE)).to_numpy())
        logits = np.full((table.num_rows, len(self._checkpoint.labels)), np.nan, np.float32)
        computed, faults = self._logits(self._engine, table, rows, on_batch, one_by_one=one_by_one)
        logits[rows] = computed
        finite = np.isfinite(computed).all(axis=1)
        not_finite = {int(row): ("not_finite", "the model's logits are not finite") for row in rows[~finite]}
        table = columns.rejected(table, not_finite | faults)
        scored = with_computed_by(self._with_scores(table, logits, rows[finite]), self._computed_by)
        return columns.without(scored, [columns.TOKEN_IDS, columns.TYPE_IDS])

    def probe(self) -> None:
        """Compute what the model answered before.

        Raises:
            DeviceError: it does no more.
        """
        self._engine.check(self._checkpoint.probe)

    def drift(self, table: pa.Table, sample: slice) -> Drift | None:
        """Score some rows in the run's precision and in float32, and return how far apart they are.

        Args:
            table: a tokenized slice.
            sample: which of its rows.

        Returns:
            None if the run's precision is float32.
        """
        if self._engine.is_full_precision:
            return None
        self._full = self._full or self._load("float32")
        usable = np.flatnonzero(pc.is_null(table.column(columns.REJECT_CODE)).to_numpy())[sample]
        half, full = (
            activate(self._logits(engine, table, usable)[0], self._checkpoint.activation)
            for engine in (self._engine, self._full)
        )
        return compared(half, full)

    def _budget(self, device: Device) -> int:
        most = TOKENS_PER_BATCH[device]
        return most if device == "cpu" else budget_on_gpu(self._engine, self._checkpoint.probe, most)

    def _logits(
        self,
        engine: Engine,
        table: pa.Table,
        rows: Rows,
        on_batch: OnBatch | None = None,
        *,
        one_by_one: bool = False,
    ) -> tuple[Floats, dict[int, tuple[str, str]]]:
        """Return the logits of some rows, and the faults of those that the model can't take."""
        tokens = _tokens(table, rows)
        ids = _ragged(tokens, columns.TOKEN_IDS)
        types = _ragged(tokens, columns.TYPE_IDS) if columns.TYPE_IDS in tokens.column_names else ids
        # Equal texts are computed once; each gets the very same bytes.
        first, same = distinct(ids, types)
        logits = np.empty((len(first), len(self._checkpoint.labels)), np.float32)
        faults: dict[int, tuple[str, str]] = {}

        def start(batch: Rows) -> Fetch:
            return engine.start([ids[row] for row in first[batch]], [types[row] for row in first[batch]])

        def alone(batch: Rows, error: Exception) -> Floats:
            with contextlib.suppress(Exception):
                return start(batch)()  # what passes is no reason to reject a row
            engine.check(self._checkpoint.probe)
            faults[int(batch[0])] = ("model_failed", f"the model fails on this text: {type(error).__name__}")
            return np.full((1, logits.shape[1]), np.nan, np.float32)

        def finish(batch: Rows, fetch: Fetch | None) -> None:
            found = None
            with contextlib.suppress(Exception):
                found = fetch() if fetch else None
            # What failed is told by halving, which tries again.
            logits[batch] = halving(lambda part: start(part)(), batch, alone) if found is None else found

        started: list[tuple[Rows, Fetch | None]] = []
        for batch in self._batches(np.array([len(ids[row]) for row in first], np.int32)):
            if on_batch:
                on_batch(rows[first[batch]].tolist())
            fetch = None
            with contextlib.suppress(Exception):
                fetch = start(batch)
            if one_by_one:
                finish(batch, fetch)
            else:
                started.append((batch, fetch))
        for batch, fetch in started:
            finish(batch, fetch)
        failed = {int(row): faults[kind] for row, kind in zip(rows, same.tolist(), strict=True) if kind in faults}
        return logits[same], failed

    def _with_scores(self, table: pa.Table, logits: Floats, rows: Rows) -> pa.Table:
        scores = activate(logits[rows], self._checkpoint.activation)
        labels, best = top(scores, self._checkpoint.labels)
        found: dict[str, pa.Array] = {
            columns.LABEL: pa.array(labels, pa.string()),
            columns.SCORE: pa.array(best),
            columns.SCORES: _lists(scores),
            columns.LOGITS: _lists(logits[rows]),
        }
        output = self._settings.output
        wanted = columns.score_fields(scores=output.scores == "all", logits=output.logits)
        # Taking a null index gives a null: rejected rows get no score.
        where = np.full(table.num_rows, -1)
        where[rows] = np.arange(len(rows))
        taken = pa.array(where, mask=where < 0)
        for field in wanted:
            if field.name in found:
                table = table.append_column(field, found[field.name].take(taken))
        return table


def _tokens(table: pa.Table, rows: Rows) -> pa.Table:
    """Return the token columns of some rows; the user's columns are not copied."""
    present = [name for name in (columns.TOKEN_IDS, columns.TYPE_IDS) if name in table.column_names]
    return table.select(present).take(pa.array(rows))


def _ragged(table: pa.Table, name: str) -> list[NDArray[np.int32]]:
    """Return a list column as views into its one buffer."""
    lists = table.column(name).combine_chunks()
    offsets, values = lists.offsets.to_numpy(), lists.values.to_numpy()
    return [values[start:end] for start, end in pairwise(offsets)]


def _lists(values: Floats) -> pa.Array:
    rows, width = values.shape
    offsets = pa.array(np.arange(rows + 1, dtype=np.int32) * width)
    return pa.ListArray.from_arrays(offsets, pa.array(values.reshape(-1)))
