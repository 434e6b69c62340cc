"""Whether a row's answer depends on the rows beside it, or on those before it: tried on texts of many lengths."""

import contextlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from pipeline_lib.checkpoints.checkpoint import PROBE
from pipeline_lib.engines.engine import Engine, Floats, Ids, apart, same
from pipeline_lib.engines.inspection.probe_lengths import lengths_to_try
from pipeline_lib.engines.model_state import LoadedState
from pipeline_lib.engines.torch_engine import TorchEngine
from pipeline_lib.errors import CheckpointError

# In float32, padding changes a logit in its last digits only; a model that minds padding is off by far more.
_PADDING_TOLERANCE = 1e-4
# Models of billions of weights round more; what is further off than this is another answer.
_REFUSED_TOLERANCE = 1e-3
_MANY_LENGTHS = (6, 7, 7, 8, 9, 9, 9, 11, 11, 13, 17, 17, 23, 31)
_WORDS = (
    *("a", "the", "this", "that", "it", "and", "but", "so", "not", "very", "never", "always", "again", "too"),
    *("good", "bad", "great", "poor", "love", "hate", "like", "happy", "sad", "angry", "fine", "wrong", "right"),
    *("bought", "sold", "arrived", "broke", "works", "kettle", "dress", "phone", "book", "table", "colour", "size"),
    *("price", "quality", "money", "time", "day", "week", "year", "first", "last", "small", "large", "old", "new"),
    *("because", "before", "after", "one", "two", "three", "for", "with", "without", "from", "my", "your", "our"),
    *("friend", "child", "house", "kitchen", "garden", "return", "order", "box", "!", "?", ".", ","),
)


class Batch(NamedTuple):
    """Rows that go through the model together, and what it answers."""

    rows: list[Ids]
    types: list[Ids]
    logits: Floats
    """Of shape [rows, labels]."""


@dataclass(frozen=True)
class Verdict:
    """How rows may go through a model, so that each gets the answer that it gets alone."""

    pads_safely: bool
    """Whether a padded row does; if not, rows of one length do."""
    keeps_state: bool
    """Whether that takes a model which is put back to what was loaded after each batch."""
    batches: tuple[Batch, ...]
    """Some of what was tried, short texts first: what any other way to compute must answer too."""
    to_convert: Batch
    """The rows that an engine is converted with: texts of several lengths, each of which the model answers."""
    beside: Batch
    """Many short rows of like and unlike lengths, as a run's batches have: another engine must answer these too."""
    alone: Batch
    """All that was tried, with the answers that each row gets alone; the short one first, the longest next."""


class Texts:
    """Token ids of texts of any length, as the checkpoint's tokenizer makes them."""

    def __init__(self, tokenizer: Any, limit: int | None) -> None:
        self._tokenizer = tokenizer
        self.short = self._encoded(PROBE, limit)

    def of_length(self, tokens: int, seed: int = 0, *, plain: bool = False) -> tuple[Ids, Ids]:
        """Return token ids and token type ids of a text of varied words, cut to a length.

        Args:
            tokens: special tokens included.
            seed: another one gives another text.
            plain: whether the short text is repeated instead, which has no word that the model was not asked.
        """
        ids, types = self.short if plain else self._varied(tokens, seed)
        if len(ids) == tokens:
            return ids, types
        # From the middle on, so that special tokens stay at the ends.
        at = len(ids) // 2
        kept = [
            np.concatenate([row[:at], np.resize(row[at:], tokens), row[at:]]) for row in (ids, types) if len(row)
        ]
        cut = [np.concatenate([row[: tokens - len(ids) + at], row[len(row) - (len(ids) - at) :]]) for row in kept]
        return cut[0][:tokens], cut[1][:tokens] if len(cut) > 1 else types

    def with_ends_inside(self) -> list[tuple[Ids, Ids]]:
        """Return the short text with its ends in its middle too, since a text may spell special tokens."""
        ids, types = self.short
        middle = len(ids) // 2
        kinds = [0] if len(types) else []
        return [
            (np.insert(ids, middle, [end] * times), np.insert(types, [middle] * len(kinds) * times, kinds * times))
            for end in sorted({int(ids[0]), int(ids[-1])})
            for times in (1, 2)
        ]

    def _varied(self, tokens: int, seed: int) -> tuple[Ids, Ids]:
        words = random.Random(seed).choices(_WORDS, k=tokens)  # noqa: S311 - any words do, the same each time
        try:
            return self._encoded(" ".join(words), tokens)
        except Exception:  # noqa: BLE001 - a vocabulary may lack these words and a token for unknown ones
            return self.short

    def _encoded(self, text: str, most: int | None) -> tuple[Ids, Ids]:
        entry = self._tokenizer(text, truncation=most is not None, max_length=most)
        return np.array(entry["input_ids"], np.int32), np.array(entry.get("token_type_ids", []), np.int32)


def judge(model: Any, inputs: Sequence[str], texts: Texts, limit: int | None) -> Verdict:
    """Try a model on a short text beside long ones, in both orders, and after them.

    Args:
        model: in float32, on the CPU.
        inputs: the inputs that the checkpoint's tokenizer gives its model.
        texts: to try it on.
        limit: the longest text in tokens, if there is a limit.

    Raises:
        CheckpointError: the model has no answer to a text, or none that depends on the text alone.
    """
    trial = _Trial(model, inputs, texts, limit)
    keeps_state = trial.keeps_state()
    engine = TorchEngine(model, inputs, "cpu", keeps_state=keeps_state)
    may_pad = "attention_mask" in inputs and not trial.untried
    padded = [_padded(engine, batch) for batch in (trial.batches() if may_pad else ())]
    safe = [batch for batch in padded if batch is not None]
    pads_safely = may_pad and len(safe) == len(padded)
    if not pads_safely:
        trial.check_again(engine)  # first of all, so that chance is told as such
        trial.check_equal_lengths(engine)
    trial.check_again(engine, most=1 if pads_safely else 2)
    batches = tuple(safe[:2]) if pads_safely else trial.singles()
    return Verdict(pads_safely, keeps_state, batches, trial.few(), trial.many(), trial.alone())


def _padded(engine: Engine, batch: Batch) -> Batch | None:
    """Return rows with what they are answered together; None if it is not what each is answered alone."""
    try:
        found = engine.logits(batch.rows, batch.types)
    except (RuntimeError, ValueError, IndexError):
        return None  # a model that refuses a padded batch is run on batches of one length
    return batch._replace(logits=found) if same(found, batch.logits, _PADDING_TOLERANCE) else None


class _Trial:
    """The texts that a model is tried on, and what it answers to each, as it was loaded."""

    def __init__(self, model: Any, inputs: Sequence[str], texts: Texts, limit: int | None) -> None:
        lengths = lengths_to_try(model.config.to_dict(), limit, _parameters(model))
        self.untried = lengths.untried
        self._thorough = lengths.thorough
        self._loaded = LoadedState(model)
        self._fresh = TorchEngine(model, inputs, "cpu", keeps_state=True)
        self._plain = TorchEngine(model, inputs, "cpu")
        self._texts = texts
        short = len(texts.short[0])
        every = [length for length in (lengths.long, *lengths.between) if length > short]
        self._changes = False
        answered = [(texts.short, self._answer(texts.short)), *map(self._answered, every)]
        self._rows = [row for row, _ in answered]
        self._alone = [answer for _, answer in answered]
        if not np.isfinite(self._alone[0]).all():
            raise CheckpointError(
                f"model.name: the model's answer to {PROBE!r} is not finite: {self._alone[0].tolist()}"
            )

    def _answered(self, length: int) -> tuple[tuple[Ids, Ids], Floats]:
        """Return a text of a length that the model answers, and its answer; single words may be what it refuses."""
        row = self._texts.of_length(length)
        try:
            return row, self._answer(row)
        except CheckpointError:
            self._loaded.restore()
            plain = self._texts.of_length(length, plain=True)
            return plain, self._answer(plain)

    def _answer(self, row: tuple[Ids, Ids]) -> Floats:
        """Return what the model answers a text alone, as it was loaded."""
        ids, types = row
        try:
            found = self._plain.logits([ids], [types])
        except Exception as error:
            what = f"the model fails on a text of {len(ids)} tokens"
            why = f"{type(error).__name__}: {' '.join(str(error).split()):.120}"
            if len(ids) <= len(self._texts.short[0]):
                raise CheckpointError(f"model.name: {what} ({why})") from error
            most = self._most_tokens(len(ids))
            raise CheckpointError(f"model.max_tokens: {what} ({why}); allowed is {most} or less") from error
        if self._loaded.has_changed():
            self._changes = True
            self._loaded.restore()
        return np.asarray(found[0], np.float32)

    def _most_tokens(self, too_many: int) -> int:
        """Return the length of the longest text that the model answers, found by halving."""
        most = len(self._texts.short[0])
        while too_many - most > 1:
            middle = (most + too_many) // 2
            try:
                self._plain.logits(*_single(self._texts.of_length(middle, plain=True)))
            except Exception:  # noqa: BLE001 - a model's own code may raise anything
                too_many = middle
            else:
                most = middle
        return most

    def keeps_state(self) -> bool:
        """Tell whether answers depend on what the model computed before."""
        if not self._changes:
            return False
        others = range(2, len(self._rows))
        order = [0, 1, 0, *others, 1, 0] if len(self._rows) > 1 else [0, 0]
        after = [self._plain.logits(*_single(self._rows[at]))[0] for at in order]
        self._loaded.restore()
        return any(
            not _close(found, self._alone[at], _PADDING_TOLERANCE) for found, at in zip(after, order, strict=True)
        )

    def batches(self) -> tuple[Batch, ...]:
        """Return a long text before a short one, and the other way round: of middle length, then of the longest."""
        longer = sorted(range(1, len(self._rows)), key=lambda at: -len(self._rows[at][0]))
        orders = [[*longer[1:], 0], [0, *longer]]
        if self._thorough:
            orders.append([*longer, 0])
        return tuple(self._batch(order) for order in orders)

    def _batch(self, order: Sequence[int]) -> Batch:
        rows = [self._rows[at] for at in order]
        return Batch(
            [ids for ids, _ in rows], [types for _, types in rows], np.stack([self._alone[at] for at in order])
        )

    def alone(self) -> Batch:
        """Return all texts and what each is answered alone."""
        return self._batch(range(len(self._rows)))

    def few(self) -> Batch:
        """Return the short text and the long one."""
        return self._batch(range(min(len(self._rows), 2)))

    def many(self) -> Batch:
        """Return many short texts, of lengths that repeat and lengths that do not."""
        longest = max(len(row[0]) for row in self._rows)
        rows = [row for row in self._texts.with_ends_inside() if len(row[0]) <= longest]
        rows += [
            self._texts.of_length(length, seed)
            for seed, length in enumerate(_MANY_LENGTHS, start=2)
            if len(self._texts.short[0]) < length <= longest
        ]
        kept = []
        for row in rows:
            with contextlib.suppress(CheckpointError):  # a model may refuse single words
                kept.append((row, self._answer(row)))
        kept = kept or [(self._rows[0], self._alone[0])]
        return Batch(
            [ids for (ids, _), _ in kept], [types for (_, types), _ in kept], np.stack([found for _, found in kept])
        )

    def singles(self) -> tuple[Batch, ...]:
        """Return the short text and the long one, each for itself."""
        return tuple(self._batch([at]) for at in range(min(len(self._rows), 2)))

    def check_equal_lengths(self, engine: Engine) -> None:
        """Compare rows beside others of their length with each alone."""
        for at in range(min(len(self._rows), 3)):
            row, alone = self._rows[at], self._alone[at]
            other = self._texts.of_length(len(row[0]), seed=1)
            if len(other[0]) != len(row[0]):
                continue
            try:
                found = engine.logits([row[0], other[0]], [row[1], other[1]])
            except (RuntimeError, ValueError, IndexError):
                continue  # wants its rows alike in yet another way, and gets them so
            if not _close(found[0], alone, _REFUSED_TOLERANCE):
                raise CheckpointError(
                    f"model.name: the model's answer to a text of {len(row[0])} tokens depends on another text of "
                    f"the same length beside it: its logits are {apart(found[0], alone):.1g} off"
                )

    def check_again(self, engine: Engine, most: int = 2) -> None:
        """Compare the answers to the short text and the long one, after all that was tried, with the first ones."""
        for at in range(min(len(self._rows), most)):
            found = engine.logits(*_single(self._rows[at]))[0]
            if not _close(found, self._alone[at], _REFUSED_TOLERANCE):
                raise CheckpointError(
                    f"model.name: the model answers a text of {len(self._rows[at][0])} tokens differently when it "
                    f"comes again: its logits are {apart(found, self._alone[at]):.1g} off; they depend on chance "
                    "or on the texts before it"
                )


def logits_alone(engine: Engine, rows: Sequence[Ids], types: Sequence[Ids]) -> Batch:
    """Return rows with what an engine answers each alone."""
    found = [engine.logits([row], [kind]) for row, kind in zip(rows, types, strict=True)]
    return Batch(list(rows), list(types), np.concatenate(found))


def _single(row: tuple[Ids, Ids]) -> tuple[list[Ids], list[Ids]]:
    return [row[0]], [row[1]]


def _close(found: Floats, expected: Floats, tolerance: float) -> bool:
    """Tell whether two answers are the same; neither being finite is the same, too."""
    if not np.isfinite(expected).all():
        return not np.isfinite(found).all()
    return same(found, expected, tolerance)


def _parameters(model: Any) -> int:
    """Return how many weights each token is multiplied with: all but the tables of embeddings."""
    import torch

    return sum(
        weight.numel()
        for module in model.modules()
        if not isinstance(module, torch.nn.Embedding)
        for weight in module.parameters(recurse=False)
    )
