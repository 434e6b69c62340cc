"""Classify: token ids become logits, scores and labels, in micro-batches of like lengths."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline_lib import columns, loading
from pipeline_lib.batching import equal_length_batches, micro_batches
from pipeline_lib.checkpoint import Checkpoint, fingerprint, locate
from pipeline_lib.config import Settings
from pipeline_lib.engine import Floats, Rows, TorchEngine, halving
from pipeline_lib.errors import CheckpointError
from pipeline_lib.scores import activate, top

# Measured: on CPUs small batches stay in the cache, on GPUs large ones fill the card.
_TOKENS_PER_BATCH = {"cpu": 2_048, "cuda": 65_536}


def token_budget(settings: Settings, device: str) -> int:
    """Return the tokens of a micro-batch, padding included: the setting, or the default of the device."""
    return settings.tuning.tokens_per_batch or _TOKENS_PER_BATCH[device]


class Classifier:
    """The checkpoint's model, applied to the token ids of a slice.

    Args:
        settings: the job's settings.
        checkpoint: the examined checkpoint.
        device: `cpu` or `cuda`.

    Raises:
        CheckpointError: the checkpoint is another one here than where it was examined.
    """

    def __init__(self, settings: Settings, checkpoint: Checkpoint, device: str = "cpu") -> None:
        folder, _ = locate(settings.model, checkpoint.commit)
        if fingerprint(folder, settings.model) != checkpoint.fingerprint:
            raise CheckpointError(f"model.name: {checkpoint.name!r} holds other files on this worker")
        model = loading.load_model(folder, settings.model, settings.model.precision)
        self._engine = TorchEngine(model, checkpoint.inputs, device)
        self._checkpoint = checkpoint
        self._output = settings.output
        cut = micro_batches if checkpoint.pads_safely else equal_length_batches
        self._batches = partial(cut, token_budget=token_budget(settings, device))

    def __call__(self, table: pa.Table, on_rows: Callable[[int], None] = lambda _: None) -> pa.Table:
        """Replace the token ids by label and score; rows whose logits are not finite are rejected.

        Rows keep their order; rejected rows have null scores.

        Args:
            table: a tokenized slice.
            on_rows: told after every micro-batch how many rows are done.
        """
        rows = np.flatnonzero(pc.is_null(table.column(columns.REJECT_CODE)).to_numpy())
        logits = np.full((table.num_rows, len(self._checkpoint.labels)), np.nan, np.float32)
        logits[rows] = self._logits(_tokens(table, rows), on_rows)
        finite = np.isfinite(logits[rows]).all(axis=1)
        table = columns.without(table, [columns.TOKEN_IDS, columns.TYPE_IDS])
        return self._with_scores(_reject(table, rows[~finite]), logits, rows[finite])

    def _logits(self, table: pa.Table, on_rows: Callable[[int], None]) -> Floats:
        ids = _ragged(table, columns.TOKEN_IDS)
        types = _ragged(table, columns.TYPE_IDS) if columns.TYPE_IDS in table.column_names else ids
        logits = np.empty((len(ids), len(self._checkpoint.labels)), np.float32)

        def compute(batch: Rows) -> Floats:
            return self._engine.logits([ids[row] for row in batch], [types[row] for row in batch])

        lengths = np.array([len(row) for row in ids], np.int32)
        done = 0
        for batch in self._batches(lengths):
            logits[batch] = halving(compute, batch)
            done += len(batch)
            on_rows(done)
        return logits

    def _with_scores(self, table: pa.Table, logits: Floats, rows: Rows) -> pa.Table:
        scores = activate(logits[rows], self._checkpoint.activation)
        labels, best = top(scores, self._checkpoint.labels)
        found: dict[str, pa.Array] = {
            columns.LABEL: pa.array(labels, pa.string()),
            columns.SCORE: pa.array(best),
            columns.SCORES: _lists(scores),
            columns.LOGITS: _lists(logits[rows]),
        }
        wanted = columns.score_fields(scores=self._output.scores == "all", logits=self._output.logits)
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


def _reject(table: pa.Table, rows: Rows) -> pa.Table:
    """Mark rows whose logits are NaN or infinite."""
    hit = np.zeros(table.num_rows, bool)
    hit[rows] = True
    for name, value in (
        (columns.REJECT_CODE, "not_finite"),
        (columns.REJECT_MESSAGE, "the model's logits are not finite"),
    ):
        marked = pc.if_else(pa.array(hit), value, table.column(name))
        table = table.set_column(table.schema.get_field_index(name), name, marked)
    return table
