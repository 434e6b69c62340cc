"""Tokenize: texts become lists of token ids, truncated as the pipeline does it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline_lib.checkpoints import loading
from pipeline_lib.checkpoints.checkpoint import PROBE
from pipeline_lib.checkpoints.fetching import locate
from pipeline_lib.inputs import columns
from pipeline_lib.planning.plan import ScoringPlan
from pipeline_lib.scoring.encoding.encoded_texts import EncodedTexts
from pipeline_lib.scoring.encoding.encoder import Encoder
from pipeline_lib.scoring.stage import OnBatch

_Texts = tuple[list[int], list[tuple[str, ...]]]
"""Rows, and the text or the two texts of each."""

_ROWS_PER_NOTED_BATCH = 64


class Tokenizer:
    """The checkpoint's own tokenizer, applied to the texts of a slice.

    Args:
        plan: names the checkpoint, which has the limit in tokens.
    """

    name = "tokenizer"
    reads = (columns.TEXT, columns.PAIR)

    def __init__(self, plan: ScoringPlan) -> None:
        settings, checkpoint = plan.settings, plan.checkpoint
        self.of = checkpoint.tokenizer
        folder, _ = locate(settings.model, checkpoint.commit)
        self._windows = checkpoint.windows
        self._limit = None if self._windows else checkpoint.max_tokens
        self._has_type_ids = "token_type_ids" in checkpoint.inputs
        tokenizer = loading.load_tokenizer(folder, settings.model)
        counts_all = settings.model.count_tokens == "exact"
        self._encoder = Encoder(tokenizer, self._limit, type_ids=self._has_type_ids, counts_all=counts_all)
        # The writer needs the texts only where rejects are to have them.
        self._dropped = () if settings.output.rejected_texts else (columns.TEXT, columns.PAIR)
        self._vocabulary = checkpoint.vocabulary

    def __call__(self, table: pa.Table, on_batch: OnBatch | None = None, *, one_by_one: bool = False) -> pa.Table:
        """Replace the texts by token ids, `n_tokens` and `truncated`; rows without usable tokens are rejected.

        The special tokens are counted in `n_tokens`, which is the length before truncation. Ids of a rejected
        row are an empty list. Where windows are asked for, the ids are those of the whole text, and `n_windows`
        says into how many it will be cut. With `count_tokens: limit`, `n_tokens` is one above the limit at most.

        Args:
            table: a slice as read.
            on_batch: called with the rows that are encoded next; they are then encoded in small batches.
            one_by_one: has no effect, since batches are always encoded one after another.
        """
        del one_by_one
        usable = pc.is_null(table.column(columns.REJECT_CODE)).to_pylist()
        parts: list[EncodedTexts] = []
        encoded_rows: list[int] = []
        for rows, texts in _batches(_single_and_pairs(table, usable), _ROWS_PER_NOTED_BATCH if on_batch else None):
            if on_batch:
                on_batch(rows)
            parts.append(self._encoder.encode(texts))
            encoded_rows += rows
        encoded = EncodedTexts.joined(parts)
        faults = _faults(encoded, encoded_rows, self._vocabulary)
        places = np.full(table.num_rows, -1)
        places[encoded_rows] = np.arange(len(encoded_rows))
        places[list(faults)] = -1
        table = columns.without(columns.rejected(table, faults), self._dropped)
        table = _with_tokens(table, encoded, places, self._limit, type_ids=self._has_type_ids)
        if self._windows is None:
            return table
        lengths = table.column(columns.N_TOKENS).to_numpy()
        counts = np.where(lengths > 0, self._windows.counts(lengths), 0)
        return table.append_column(columns.N_WINDOWS, pa.array(counts, pa.int32()))

    def probe(self) -> None:
        """Encode a text that the tokenizer encoded when the checkpoint was inspected."""
        self._encoder.encode([(PROBE,)])


def _faults(encoded: EncodedTexts, rows: Sequence[int], vocabulary: int) -> dict[int, tuple[str, str]]:
    """Return the rows whose tokens can't be used: the reject code and message of each."""
    smallest, largest = encoded.extremes()
    faults = {}
    for text in np.flatnonzero((encoded.lengths == 0) | (smallest < 0) | (largest >= vocabulary)).tolist():
        if not encoded.lengths[text]:
            fault = ("no_tokens", "the tokenizer finds no tokens in the text")
        elif smallest[text] < 0:
            fault = ("not_tokenizable", "the tokenizer refuses the text")
        else:
            why = f"the tokenizer gives id {largest[text]}, the model knows {vocabulary}"
            fault = ("unknown_token", why)
        faults[rows[text]] = fault
    return faults


def _batches(kinds: Iterable[_Texts], size: int | None) -> Iterator[_Texts]:
    """Yield the texts of each kind, at most `size` of them at a time."""
    for rows, texts in kinds:
        step = size or max(len(rows), 1)
        for start in range(0, len(rows), step):
            yield rows[start : start + step], texts[start : start + step]


def _single_and_pairs(table: pa.Table, usable: list[bool]) -> Iterable[_Texts]:
    """Return (rows, texts) of the single texts, then of the pairs; an empty or null second text is no pair."""
    firsts = table.column(columns.TEXT).to_pylist()
    seconds = table.column(columns.PAIR).to_pylist() if columns.PAIR in table.column_names else [None] * len(firsts)
    singles: list[int] = []
    pairs: list[int] = []
    for row, second in enumerate(seconds):
        if usable[row]:
            (pairs if second else singles).append(row)
    decode: Callable[[Any], str] = bytes.decode
    return (
        (singles, [(decode(firsts[row]),) for row in singles]),
        (pairs, [(decode(firsts[row]), decode(seconds[row])) for row in pairs]),
    )


def _with_tokens(
    table: pa.Table, encoded: EncodedTexts, places: NDArray[np.int64], limit: int | None, *, type_ids: bool
) -> pa.Table:
    """Return a table with the tokens of its rows; `places` are the numbers of their texts, or -1."""
    lengths = np.append(encoded.counts, 0)[places].astype(np.int32)
    truncated = lengths > limit if limit is not None else np.zeros(len(lengths), bool)
    table = table.append_column(columns.TOKEN_IDS, encoded.lists(encoded.ids, places))
    if type_ids:
        table = table.append_column(columns.TYPE_IDS, encoded.lists(encoded.type_ids, places))
    table = table.append_column(columns.N_TOKENS, pa.array(lengths))
    return table.append_column(columns.TRUNCATED, pa.array(truncated))
