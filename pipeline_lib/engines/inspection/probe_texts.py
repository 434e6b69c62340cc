"""The texts that a checkpoint is tried on: of any length, as its own tokenizer encodes them."""

import random
from typing import Any

import numpy as np

from pipeline_lib.checkpoints.checkpoint import PROBE
from pipeline_lib.engines.engine import Ids

Row = tuple[Ids, Ids]
"""Token ids and token type ids of one text; the latter are empty where the tokenizer gives none."""

_WORDS = (
    *("a", "the", "this", "that", "it", "and", "but", "so", "not", "very", "never", "always", "again", "too"),
    *("good", "bad", "great", "poor", "love", "hate", "like", "happy", "sad", "angry", "fine", "wrong", "right"),
    *("bought", "sold", "arrived", "broke", "works", "kettle", "dress", "phone", "book", "table", "colour", "size"),
    *("price", "quality", "money", "time", "day", "week", "year", "first", "last", "small", "large", "old", "new"),
    *("because", "before", "after", "one", "two", "three", "for", "with", "without", "from", "my", "your", "our"),
    *("friend", "child", "house", "kitchen", "garden", "return", "order", "box", "!", "?", ".", ","),
)


def varied_text(words: int, seed: int = 0) -> str:
    """Return a text of common words, the same one each time."""
    return " ".join(random.Random(seed).choices(_WORDS, k=words))  # noqa: S311 - any words do


class ProbeTexts:
    """Token ids of texts of any length, as the checkpoint's tokenizer makes them."""

    def __init__(self, tokenizer: Any, limit: int | None) -> None:
        self._tokenizer = tokenizer
        self.short = self._encoded(PROBE, limit)

    def of_length(self, tokens: int, seed: int = 0, *, repeated: bool = False) -> Row:
        """Return token ids and token type ids of a text of varied words, cut to a length.

        Args:
            tokens: special tokens included.
            seed: another seed gives another text.
            repeated: whether the text is the short one over and over, since the model may refuse other words.
        """
        ids, types = self.short if repeated else self._varied(tokens, seed)
        if len(ids) == tokens:
            return ids, types
        # Repeated from the middle on, so that special tokens stay at the ends.
        middle = len(ids) // 2
        longer = [
            np.concatenate([row[:middle], np.resize(row[middle:], tokens), row[middle:]])
            for row in (ids, types)
            if len(row)
        ]
        cut = [
            np.concatenate([row[: tokens - len(ids) + middle], row[len(row) - (len(ids) - middle) :]])
            for row in longer
        ]
        return cut[0][:tokens], cut[1][:tokens] if len(cut) > 1 else types

    def with_ends_inside(self) -> list[Row]:
        """Return the short text with its ends in its middle too, since a text may spell special tokens."""
        ids, types = self.short
        middle = len(ids) // 2
        kinds = [0] if len(types) else []
        return [
            (np.insert(ids, middle, [end] * times), np.insert(types, [middle] * len(kinds) * times, kinds * times))
            for end in sorted({int(ids[0]), int(ids[-1])})
            for times in (1, 2)
        ]

    def _varied(self, tokens: int, seed: int) -> Row:
        try:
            return self._encoded(varied_text(tokens, seed), tokens)
        except Exception:  # noqa: BLE001 - a vocabulary may lack these words and a token for unknown ones
            return self.short

    def _encoded(self, text: str, max_tokens: int | None) -> Row:
        entry = self._tokenizer(text, truncation=max_tokens is not None, max_length=max_tokens)
        return np.array(entry["input_ids"], np.int32), np.array(entry.get("token_type_ids", []), np.int32)
