"""Classify: token ids become logits, scores and labels, in micro-batches of like lengths."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline_lib.checkpoints.activation import activate, top
from pipeline_lib.checkpoints.checkpoint import Checkpoint, fingerprint
from pipeline_lib.checkpoints.fetching import locate
from pipeline_lib.engines.batching import Room, distinct, equal_length_batches, micro_batches
from pipeline_lib.engines.computation import TOKENS_PER_BATCH, computation_of, computed_by, with_computed_by
from pipeline_lib.engines.engine import Engine, Fetch, Floats, Rows, halving, is_out_of_memory
from pipeline_lib.engines.engine_loading import load_engine
from pipeline_lib.engines.packed_engine import PackedEngine
from pipeline_lib.engines.torch_engine import device_name, room_on_gpu
from pipeline_lib.errors import CheckpointError, FaultError
from pipeline_lib.inputs import columns
from pipeline_lib.scoring.float32_reference import Reference, on_lack
from pipeline_lib.scoring.precision_drift import ROWS, at_most, compared, with_drift
from pipeline_lib.settings.settings import Device, Settings

OnBatch = Callable[[Sequence[int]], None]


class Classifier:
    """The checkpoint's model, applied to the token ids of a slice.

    Args:
        settings: the job's settings.
        checkpoint: the examined checkpoint.
        device: `cpu` or `cuda`.
        packed: whether rows are packed on a GPU; None: where it gets them right.
        share: of a GPU that is this process's.
        say: told in words what a user should know, and is no failure.

    Raises:
        CheckpointError: the checkpoint is another one here than where it was examined.
    """

    name = "model"
    reads = (columns.TOKEN_IDS, columns.TYPE_IDS)

    def __init__(  # noqa: PLR0913
        self,
        settings: Settings,
        checkpoint: Checkpoint,
        device: Device = "cpu",
        *,
        packed: bool | None = None,
        share: float = 1.0,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        folder, _ = locate(settings.model, checkpoint.commit)
        if fingerprint(folder, settings.model) != checkpoint.fingerprint:
            raise CheckpointError(f"model.name: {checkpoint.name!r} holds other files on this worker")
        self._engine = load_engine(
            folder, settings.model, checkpoint, device, settings.model.precision, packed=packed
        )
        self._device, self._share, self._say = device, share, say

        def load_full(where: Device) -> Engine:
            # Beside a GPU the CPU's engine is not converted for a few rows.
            plain = checkpoint if where == device else replace(checkpoint, engine="torch")
            return load_engine(folder, settings.model, plain, where, "float32", packed=False)

        lack = on_lack(say, settings.limits.max_precision_drift)
        self._reference = Reference(load_full, device, share, lack)
        self._checkpoint = checkpoint
        self._settings = settings
        computation = computation_of(settings, checkpoint, device, packed=isinstance(self._engine, PackedEngine))
        self._computed_by = computed_by(computation, device_name(device))
        cut = micro_batches if checkpoint.pads_safely else equal_length_batches
        self._batches = partial(cut, token_budget=settings.tuning.tokens_per_batch or TOKENS_PER_BATCH[device])
        self._room = self._room_at_first()

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

    def with_drift(self, scored: pa.Table, tokenized: pa.Table, sample: slice) -> pa.Table:
        """Return a scored slice with how far some rows' scores are from those in float32.

        Nothing is added if the run's precision is float32, or if there is no memory for the model in float32.

        Args:
            scored: the slice.
            tokenized: the same before.
            sample: which of its rows.

        Raises:
            SettingsError: there is none, and the settings limit the drift.
        """
        reference = None if self._engine.is_full_precision else self._reference.get(self._engine.float32_bytes)
        if reference is None:
            return scored
        engine, most = reference
        usable = np.flatnonzero(pc.is_null(tokenized.column(columns.REJECT_CODE)).to_numpy())[sample]
        rows = usable if most >= ROWS else at_most(usable, most)
        try:
            half, full = (
                activate(self._logits(each, tokenized, rows)[0], self._checkpoint.activation)
                for each in (self._engine, engine)
            )
        except FaultError as error:
            self._reference.drop(str(error))
            return scored
        return with_drift(scored, rows, *compared(half, full))

    def _room_at_first(self) -> Room:
        # A budget that the settings name is tried as it is; what proves too large is halved from then on.
        if self._device == "cpu" or self._settings.tuning.tokens_per_batch:
            return Room()
        return room_on_gpu(self._engine, self._checkpoint.probe, self._checkpoint.max_tokens, self._share)

    def _learn(self, error: Exception, lengths: NDArray[np.int32]) -> None:
        """Make batches smaller for good where memory ran out over one of rows of some lengths."""
        if not is_out_of_memory(error):
            return
        longest = int(lengths.max())
        smaller = self._room.after_failure(len(lengths), longest)
        if smaller != self._room:
            self._room = smaller
            self._say(
                f"out of memory on {self._device.upper()} over {len(lengths):,} rows of up to {longest:,} tokens; "
                "batches that take more than half of that are halved from now on"
            )

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
        texts = _Texts.of(_tokens(table, rows))
        logits = np.empty((len(texts.ids), len(self._checkpoint.labels)), np.float32)
        faults: dict[int, tuple[str, str]] = {}
        start = partial(self._start, engine, texts)

        def alone(batch: Rows, error: Exception) -> Floats:
            with contextlib.suppress(Exception):
                return start(batch)()  # what passes is no reason to reject a row
            engine.check(self._checkpoint.probe)
            faults[int(batch[0])] = ("model_failed", f"the model fails on this text: {type(error).__name__}")
            return np.full((1, logits.shape[1]), np.nan, np.float32)

        def finish(batch: Rows, fetch: Fetch | None) -> None:
            with contextlib.suppress(Exception):
                if fetch:
                    logits[batch] = fetch()
                    return
            # What failed is told by halving, which tries again; there may be less room than there was.
            for part in self._room.split(batch, texts.lengths):
                logits[part] = halving(lambda some: start(some)(), part, alone)

        started: list[tuple[Rows, Fetch | None]] = []
        for batch in self._fitting(texts.lengths):
            if on_batch:
                on_batch(rows[texts.first[batch]].tolist())
            fetch = None
            with contextlib.suppress(Exception):
                fetch = start(batch)
            if one_by_one:
                finish(batch, fetch)
            else:
                started.append((batch, fetch))
        for batch, fetch in started:
            finish(batch, fetch)
        kinds = zip(rows, texts.same.tolist(), strict=True)
        return logits[texts.same], {int(row): faults[kind] for row, kind in kinds if kind in faults}

    def _start(self, engine: Engine, texts: "_Texts", batch: Rows) -> Fetch:
        try:
            return engine.start([texts.ids[row] for row in batch], [texts.types[row] for row in batch])
        except Exception as error:
            if engine is self._engine:
                self._learn(error, texts.lengths[batch])
            raise

    def _fitting(self, lengths: NDArray[np.int32]) -> Iterator[Rows]:
        """Yield batches under the token budget, in as many parts as there is room for by then."""
        for batch in self._batches(lengths):
            yield from self._room.split(batch, lengths)

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


@dataclass(frozen=True)
class _Texts:
    """The different texts of a slice: equal ones are computed once, and each gets the very same bytes."""

    ids: list[NDArray[np.int32]]
    types: list[NDArray[np.int32]]
    first: Rows
    """Which row of the slice is the first of each."""
    same: Rows
    """Which text each row of the slice is."""
    lengths: NDArray[np.int32]

    @classmethod
    def of(cls, tokens: pa.Table) -> "_Texts":
        ids = _ragged(tokens, columns.TOKEN_IDS)
        types = _ragged(tokens, columns.TYPE_IDS) if columns.TYPE_IDS in tokens.column_names else ids
        first, same = distinct(ids, types)
        lengths = np.array([len(ids[row]) for row in first], np.int32)
        return cls([ids[row] for row in first], [types[row] for row in first], first, same, lengths)


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
