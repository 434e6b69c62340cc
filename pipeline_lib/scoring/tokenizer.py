"""Tokenize: texts become lists of token ids, truncated as the pipeline does it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline_lib.checkpoints import loading
from pipeline_lib.checkpoints.checkpoint import PROBE
from pipeline_lib.checkpoints.fetching import locate
from pipeline_lib.inputs import columns
from pipeline_lib.planning.plan import ScoringPlan
from pipeline_lib.scoring.stage import OnBatch
from pipeline_lib.scoring.token_columns import token_array

_Encoded = tuple[list[int], list[int], int]
"""Token ids, token type ids, tokens before truncation."""
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
        self._tokenizer = loading.load_tokenizer(folder, settings.model)
        self._limit, self._windows = checkpoint.max_tokens, checkpoint.windows
        # The writer needs the texts only where rejects are to have them.
        self._dropped = () if settings.output.rejected_texts else (columns.TEXT, columns.PAIR)
        self._vocabulary = checkpoint.vocabulary
        self._has_type_ids = "token_type_ids" in checkpoint.inputs

    def __call__(self, table: pa.Table, on_batch: OnBatch | None = None, *, one_by_one: bool = False) -> pa.Table:
        """Replace the texts by token ids, `n_tokens` and `truncated`; rows without usable tokens are rejected.

        The special tokens are counted in `n_tokens`, which is the length before truncation. Ids of a rejected
        row are an empty list. Where windows are asked for, the ids are those of the whole text, and `n_windows`
        says into how many it will be cut.

        Args:
            table: a slice as read.
            on_batch: called with the rows that are encoded next; they are then encoded in small batches.
            one_by_one: has no effect, since batches are always encoded one after another.
        """
        del one_by_one
        usable = pc.is_null(table.column(columns.REJECT_CODE)).to_pylist()
        encoded: list[_Encoded] = [([], [], 0)] * table.num_rows
        faults: dict[int, tuple[str, str]] = {}
        for rows, texts in _batches(_single_and_pairs(table, usable), _ROWS_PER_NOTED_BATCH if on_batch else None):
            if on_batch:
                on_batch(rows)
            for row, tokens in zip(rows, self._encode(texts), strict=True):
                encoded[row] = tokens
                faults.update(self._fault(row, tokens))
        for row in faults:
            encoded[row] = ([], [], 0)
        table = columns.without(columns.rejected(table, faults), self._dropped)
        table = _with_tokens(table, encoded, None if self._windows else self._limit, type_ids=self._has_type_ids)
        if self._windows is None:
            return table
        lengths = table.column(columns.N_TOKENS).to_numpy()
        counts = np.where(lengths > 0, self._windows.counts(lengths), 0)
        return table.append_column(columns.N_WINDOWS, pa.array(counts, pa.int32()))

    def probe(self) -> None:
        """Encode a text that the tokenizer encoded when the checkpoint was inspected."""
        self._call([(PROBE,)], self._limit)

    def _encode(self, texts: Sequence[tuple[str, ...]]) -> list[_Encoded]:
        """Encode texts, or pairs of them, all of one kind."""
        whole = self._call(texts, None)
        encoded = [(ids, types, len(ids)) for ids, types in whole]
        if self._windows:
            return encoded
        too_long = [row for row, (ids, _, _) in enumerate(encoded) if self._limit and len(ids) > self._limit]
        shortened = self._call([texts[row] for row in too_long], self._limit)
        for row, (ids, types) in zip(too_long, shortened, strict=True):
            encoded[row] = (ids, types, encoded[row][2])
        return encoded

    def _call(self, texts: Sequence[tuple[str, ...]], limit: int | None) -> list[tuple[list[int], list[int]]]:
        """Return ids and type ids of texts; those of a text that the tokenizer refuses are -1 and 0."""
        if not texts:
            return []
        try:
            encoding = self._tokenizer(
                *(list(column) for column in zip(*texts, strict=True)),
                truncation=limit is not None,
                max_length=limit,
                padding=False,
                return_attention_mask=False,
                return_token_type_ids=self._has_type_ids,
                verbose=False,
            )
        except (MemoryError, OSError):
            raise  # the machine failed, and the text is not the cause
        except BaseException as error:
            # A text that the tokenizer refuses must not fail the others. A panic in Rust is not an Exception.
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            if len(texts) == 1:
                return [([-1], [0])]
            middle = len(texts) // 2
            return self._call(texts[:middle], limit) + self._call(texts[middle:], limit)
        ids = encoding["input_ids"]
        return list(zip(ids, encoding["token_type_ids"] if self._has_type_ids else ids, strict=True))

    def _fault(self, row: int, tokens: _Encoded) -> dict[int, tuple[str, str]]:
        """Return the row's reject code and message, if its tokens can't be used."""
        ids, _, _ = tokens
        if not ids:
            return {row: ("no_tokens", "the tokenizer finds no tokens in the text")}
        if min(ids) < 0:
            return {row: ("not_tokenizable", "the tokenizer refuses the text")}
        if max(ids) >= self._vocabulary:
            why = f"the tokenizer gives id {max(ids)}, the model knows {self._vocabulary}"
            return {row: ("unknown_token", why)}
        return {}


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


def _with_tokens(table: pa.Table, encoded: list[_Encoded], limit: int | None, *, type_ids: bool) -> pa.Table:
    lengths = np.array([count for _, _, count in encoded], np.int32)
    truncated = lengths > limit if limit is not None else np.zeros(len(lengths), bool)
    table = table.append_column(columns.TOKEN_IDS, token_array([ids for ids, _, _ in encoded]))
    if type_ids:
        table = table.append_column(columns.TYPE_IDS, token_array([types for _, types, _ in encoded]))
    table = table.append_column(columns.N_TOKENS, pa.array(lengths))
    return table.append_column(columns.TRUNCATED, pa.array(truncated))
