"""Classify: token ids become logits, scores and labels."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline_lib.checkpoints.activation import activate, top
from pipeline_lib.checkpoints.checkpoint import fingerprint
from pipeline_lib.checkpoints.fetching import locate
from pipeline_lib.engines.computation import computed_by, with_computed_by
from pipeline_lib.engines.engine import Engine, Floats, Rows
from pipeline_lib.engines.engine_loading import load_engine
from pipeline_lib.engines.torch_engine import device_name
from pipeline_lib.errors import CheckpointError, FaultError
from pipeline_lib.inputs import columns
from pipeline_lib.planning.plan import ScoringPlan
from pipeline_lib.scoring.batch_runner import BatchRunner
from pipeline_lib.scoring.float32_reference import Float32Reference, note_or_refuse
from pipeline_lib.scoring.precision_drift import ROWS, compare_scores, spread_evenly, with_drift
from pipeline_lib.scoring.stage import OnBatch
from pipeline_lib.settings.sections.tuning import Device
from pipeline_lib.statistics.scored_rows import near_boundary


class Classifier:
    """The checkpoint's model, applied to the token ids of a slice.

    Args:
        plan: names the checkpoint, and says how it is computed.
        gpu_share: the share of a GPU that is this process's.
        note: called with what a user should know and is no failure.

    Raises:
        CheckpointError: the checkpoint's files on this machine are not those that were inspected.
    """

    name = "model"
    reads = (columns.TOKEN_IDS, columns.TYPE_IDS)

    def __init__(
        self, plan: ScoringPlan, gpu_share: float = 1.0, note: Callable[[str], None] = lambda _: None
    ) -> None:
        settings, checkpoint, computation = plan.settings, plan.checkpoint, plan.computation
        folder, _ = locate(settings.model, checkpoint.commit)
        if fingerprint(folder, settings.model) != checkpoint.fingerprint:
            raise CheckpointError(f"model.name: {checkpoint.name!r} holds other files on this worker")
        self._checkpoint, self._fields = checkpoint, plan.score_fields
        self.of = checkpoint.fingerprint
        self._engine = load_engine(folder, settings.model, checkpoint, computation)
        self._runner = BatchRunner(plan, self._engine, gpu_share, note)
        self._computed_by = computed_by(computation, device_name(computation.device))

        def load_float32(device: Device) -> Engine:
            float32 = settings.model.model_copy(update={"precision": "float32"})
            return load_engine(folder, float32, checkpoint, replace(computation, device=device, layout="padded"))

        on_missing = note_or_refuse(note, settings.limits)
        self._reference = Float32Reference(load_float32, computation.device, gpu_share, on_missing)

    def __call__(self, table: pa.Table, on_batch: OnBatch | None = None, *, one_by_one: bool = False) -> pa.Table:
        """Replace the token ids by label and score; rows whose logits are not finite are rejected.

        Rows keep their order; rejected rows have null scores.

        Args:
            table: a tokenized slice.
            on_batch: called with the rows of each batch before it starts.
            one_by_one: whether a batch starts only when the last one is done, so that a process that dies shows
                over which batch it did.

        Raises:
            DeviceError: the model fails on everything.
            FaultError: a single row is too large for the device.
        """
        rows = np.flatnonzero(pc.is_null(table.column(columns.REJECT_CODE)).to_numpy())
        answers, faults = self._runner.answers(table, rows, on_batch, one_by_one=one_by_one)
        finite = np.isfinite(answers).all(axis=1)
        why = f"the model's logits{' or embedding' * bool(self._checkpoint.embedding_width)} are not finite"
        not_finite = {int(row): ("not_finite", why) for row in rows[~finite]}
        table = columns.rejected(table, not_finite | faults)
        scored = with_computed_by(self._with_scores(table, answers[finite], rows[finite]), self._computed_by)
        return columns.without(scored, [columns.TOKEN_IDS, columns.TYPE_IDS])

    def probe(self) -> None:
        """Compute a text that the model answered when it was inspected.

        Raises:
            DeviceError: it fails now.
        """
        self._engine.check(self._checkpoint.probe)

    def with_drift(self, scored: pa.Table, tokenized: pa.Table, sample: slice) -> pa.Table:
        """Return a scored slice with the differences of some rows' scores from those in float32.

        Nothing is added if the run's precision is float32, or if there is no memory for the model in float32.

        Args:
            scored: the slice.
            tokenized: the slice before it was scored.
            sample: the rows to compare.

        Raises:
            SettingsError: there is no memory for it, and the settings limit the drift.
        """
        reference = None if self._engine.is_full_precision else self._reference.get(self._engine.float32_bytes)
        if reference is None:
            return scored
        engine, most = reference
        usable = np.flatnonzero(pc.is_null(tokenized.column(columns.REJECT_CODE)).to_numpy())[sample]
        rows = usable if most >= ROWS else spread_evenly(usable, most)
        try:
            half, full = (
                activate(
                    self._logits_of(self._runner.answers(tokenized, rows, engine=each)[0]),
                    self._checkpoint.activation,
                )
                for each in (self._engine, engine)
            )
        except FaultError as error:
            self._reference.drop(str(error))
            return scored
        return with_drift(scored, rows, *compare_scores(half, full))

    def _logits_of(self, answers: Floats) -> Floats:
        return answers[:, : len(self._checkpoint.labels)]

    def _with_scores(self, table: pa.Table, answers: Floats, rows: Rows) -> pa.Table:
        """Return a table with the label and scores of some of its rows; the others get nulls.

        Args:
            table: the slice.
            answers: of these rows: logits, and embeddings behind them, shape [rows, labels + width].
            rows: their numbers in the table.
        """
        logits, embeddings = self._logits_of(answers), answers[:, len(self._checkpoint.labels) :]
        scores = activate(logits, self._checkpoint.activation)
        labels, best = top(scores, self._checkpoint.labels)
        values: dict[str, pa.Array] = {
            columns.LABEL: pa.array(labels, pa.string()),
            columns.SCORE: pa.array(best),
            columns.SCORES: _lists(scores),
            columns.LOGITS: _lists(logits),
        }
        if embeddings.shape[1]:
            values[columns.EMBEDDING] = pa.FixedSizeListArray.from_arrays(
                pa.array(embeddings.reshape(-1)), embeddings.shape[1]
            )
        # Taking a null index gives a null: rejected rows get no score.
        places = np.full(table.num_rows, -1)
        places[rows] = np.arange(len(rows))
        taken = pa.array(places, mask=places < 0)
        for field in self._fields:
            if field.name in values:
                table = table.append_column(field, values[field.name].take(taken))
        near = pa.array(near_boundary(scores, self._checkpoint.activation))
        return table.append_column(columns.NEAR_BOUNDARY, near.take(taken))


def _lists(values: Floats) -> pa.Array:
    """Return an array of shape [rows, labels] as one list a row."""
    rows, width = values.shape
    offsets = pa.array(np.arange(rows + 1, dtype=np.int32) * width)
    return pa.ListArray.from_arrays(offsets, pa.array(values.reshape(-1)))
