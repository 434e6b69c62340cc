"""A model's answers to each probe text alone, as it was loaded; other ways to compute are compared with these."""

import contextlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from pipeline_lib.checkpoints.checkpoint import PROBE, TokenizedTexts
from pipeline_lib.engines.embedding import width_of
from pipeline_lib.engines.engine import Engine, Floats, Ids, largest_difference
from pipeline_lib.engines.inspection.probe_lengths import lengths_to_try
from pipeline_lib.engines.inspection.probe_texts import ProbeTexts, Row
from pipeline_lib.engines.model_state import LoadedState
from pipeline_lib.engines.torch_engine import TorchEngine
from pipeline_lib.errors import CheckpointError

PADDING_TOLERANCE = 1e-4
"""In float32, padding changes only the last digits of a logit; a model that depends on it is off by far more."""

_MANY_LENGTHS = (6, 7, 7, 8, 9, 9, 9, 11, 11, 13, 17, 17, 23, 31)


class AnsweredTexts(NamedTuple):
    """Texts that go through a model together, and the logits that each must get."""

    texts: TokenizedTexts
    logits: Floats
    """Of shape [texts, labels], or [texts, labels + width] with an embedding."""


class ProbeAnswers:
    """The texts that a model is tried on, and its answer to each alone, as it was loaded.

    Args:
        model: in float32, on the CPU.
        inputs: the inputs that the checkpoint's tokenizer gives its model.
        texts: makes the texts.
        limit: the longest text in tokens, if there is a limit.

    Raises:
        CheckpointError: the model has no answer to a text.
    """

    def __init__(self, model: Any, inputs: Sequence[str], texts: ProbeTexts, limit: int | None) -> None:
        lengths = lengths_to_try(model.config.to_dict(), limit, _parameters(model))
        self.untried = lengths.untried
        """Lengths at which the model may change its computation, and which would take too long to try."""
        self._thorough = lengths.thorough
        self._loaded = LoadedState(model)
        self._engine = TorchEngine(model, inputs, "cpu")
        self.width = width_of(model)
        """How many numbers at the end of an answer are an embedding."""
        self._texts = texts
        self._changes_state = False
        short = len(texts.short[0])
        others = [length for length in (lengths.long, *lengths.between) if length > short]
        answered = [(texts.short, self._answer(texts.short)), *map(self._answer_length, others)]
        self.rows = [row for row, _ in answered]
        """The short text first, then the longest, then those between."""
        self.logits = [logits for _, logits in answered]
        if not np.isfinite(self.logits[0]).all():
            raise CheckpointError(
                f"model.name: the model's answer to {PROBE!r} is not finite: {self.logits[0].tolist()}"
            )

    def is_stateful(self) -> bool:
        """Tell whether answers depend on what the model computed before."""
        if not self._changes_state:
            return False
        others = range(2, len(self.rows))
        order = [0, 1, 0, *others, 1, 0] if len(self.rows) > 1 else [0, 0]
        again = [self._engine.logits(*single(self.rows[number]))[0] for number in order]
        self._loaded.restore()
        return not all(
            is_same_answer(logits, self.logits[number], PADDING_TOLERANCE, self.width)
            for logits, number in zip(again, order, strict=True)
        )

    def all(self) -> AnsweredTexts:
        """Return all texts; the short one first, the longest next."""
        return self._chosen(range(len(self.rows)))

    def short_and_long(self) -> AnsweredTexts:
        """Return the short text and the longest one."""
        return self._chosen(range(min(len(self.rows), 2)))

    def singles(self) -> tuple[AnsweredTexts, ...]:
        """Return the short text and the longest one, each as a batch of its own."""
        return tuple(self._chosen([number]) for number in range(min(len(self.rows), 2)))

    def mixed_batches(self) -> tuple[AnsweredTexts, ...]:
        """Return long texts before a short one, and after it: of middle length, then of the longest."""
        longest_first = sorted(range(1, len(self.rows)), key=lambda number: -len(self.rows[number][0]))
        orders = [[*longest_first[1:], 0], [0, *longest_first]]
        if self._thorough:
            orders.append([*longest_first, 0])
        return tuple(self._chosen(order) for order in orders)

    def many_short(self) -> AnsweredTexts:
        """Return many short texts, of lengths that repeat and lengths that do not, as a run's batches have them."""
        short, longest = len(self._texts.short[0]), max(len(ids) for ids, _ in self.rows)
        rows = [row for row in self._texts.with_ends_inside() if len(row[0]) <= longest]
        rows += [
            self._texts.of_length(length, seed)
            for seed, length in enumerate(_MANY_LENGTHS, start=2)
            if short < length <= longest
        ]
        answered = []
        for row in rows:
            with contextlib.suppress(CheckpointError):  # a model may refuse single words
                answered.append((row, self._answer(row)))
        answered = answered or [(self.rows[0], self.logits[0])]
        return AnsweredTexts(
            TokenizedTexts.of(row for row, _ in answered), np.stack([logits for _, logits in answered])
        )

    def of_same_length(self, number: int) -> Row:
        """Return another text, as long as one of the rows."""
        return self._texts.of_length(len(self.rows[number][0]), seed=1)

    def _chosen(self, numbers: Iterable[int]) -> AnsweredTexts:
        numbers = list(numbers)
        return AnsweredTexts(
            TokenizedTexts.of(self.rows[number] for number in numbers),
            np.stack([self.logits[number] for number in numbers]),
        )

    def _answer_length(self, length: int) -> tuple[Row, Floats]:
        """Return a text of a length that the model answers, and its answer; the model may refuse single words."""
        row = self._texts.of_length(length)
        try:
            return row, self._answer(row)
        except CheckpointError:
            self._loaded.restore()
            repeated = self._texts.of_length(length, repeated=True)
            return repeated, self._answer(repeated)

    def _answer(self, row: Row) -> Floats:
        """Return the model's logits of a text alone, as it was loaded."""
        tokens = len(row[0])
        try:
            logits = self._engine.logits(*single(row))
        except Exception as error:
            what = f"the model fails on a text of {tokens} tokens"
            why = f"{type(error).__name__}: {' '.join(str(error).split()):.120}"
            if tokens <= len(self._texts.short[0]):
                raise CheckpointError(f"model.name: {what} ({why})") from error
            most = self._most_tokens(tokens)
            raise CheckpointError(f"model.max_tokens: {what} ({why}); allowed is {most} or less") from error
        if self._loaded.has_changed():
            self._changes_state = True
            self._loaded.restore()
        return np.asarray(logits[0], np.float32)

    def _most_tokens(self, too_many: int) -> int:
        """Return the length of the longest text that the model answers, found by halving."""
        most = len(self._texts.short[0])
        while too_many - most > 1:
            middle = (most + too_many) // 2
            try:
                self._engine.logits(*single(self._texts.of_length(middle, repeated=True)))
            except Exception:  # noqa: BLE001 - a model's own code may raise anything
                too_many = middle
            else:
                most = middle
        return most


def answers_alone(engine: Engine, texts: TokenizedTexts) -> AnsweredTexts:
    """Return texts with the logits that an engine gives each alone."""
    logits = [engine.logits([ids], [type_ids]) for ids, type_ids in zip(*texts.arrays(), strict=True)]
    return AnsweredTexts(texts, np.concatenate(logits))


def single(row: Row) -> tuple[list[Ids], list[Ids]]:
    """Return a text as a batch of its own."""
    return [row[0]], [row[1]]


def is_same_answer(logits: Floats, expected: Floats, tolerance: float, width: int = 0) -> bool:
    """Tell whether two answers to a text are the same; two that are not finite are the same, too.

    The arguments are as in `largest_difference`.
    """
    if not np.isfinite(expected).all():
        return not np.isfinite(logits).all()
    return largest_difference(logits, expected, width) <= tolerance


def _parameters(model: Any) -> int:
    """Return how many weights each token is multiplied with: all but the tables of embeddings."""
    import torch

    return sum(
        weight.numel()
        for module in model.modules()
        if not isinstance(module, torch.nn.Embedding)
        for weight in module.parameters(recurse=False)
    )
