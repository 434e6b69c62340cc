"""The token ids of words, each encoded once: of texts cut at plain spaces, where the tokenizer cuts them anyway."""

import re
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from itertools import chain
from typing import Any

import numpy as np

from pipeline_lib.scoring.encoding.encoded_texts import Ids, Integers, ranges
from pipeline_lib.scoring.encoding.library_calls import encoded_by_halves
from pipeline_lib.scoring.encoding.word_boundaries import PLAIN_SPACE

REFUSED = -1
"""Stands for the ids of what the tokenizer refuses."""

_cut = re.compile(PLAIN_SPACE).split
# Marks the first word of a text, before which no space stands. No other word begins with white space.
_FIRST = "\n"
# About 40 MiB: the words of most corpora, after which all are forgotten and learnt anew.
_MOST_CHARACTERS = 1 << 25
_CHARACTERS_OF_AN_ENTRY = 150
# Of words that are new, so many are encoded as one text, with a mark between them.
_JOINED = 100
_MARK = " | "


class WordMemory:
    """Encodes texts word by word, where "word" is all that stands between two plain spaces.

    Args:
        backend: a `tokenizers.Tokenizer` that cuts at plain spaces; see `word_boundaries`.
    """

    _known: dict[str, int]
    """The number of each word; a word that begins with `_FIRST` is the first of a text."""
    _starts: Integers
    """Where the ids of each word begin, and last where they all end."""
    _ids: Ids
    _characters: int
    """An estimate of the memory that all this takes."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self._mark = self._alone([_MARK.strip()])[0]
        self._forget()

    def encode(self, texts: Sequence[str]) -> tuple[Ids, Integers]:
        """Return the ids of texts without special tokens, one text after the other, and how many each has.

        A text with a word that the tokenizer refuses has the id -1 among its ids.
        """
        cut = [_cut(text) for text in texts]
        for words in cut:
            words[0] = _FIRST + words[0]
        numbers = self._numbers(list(chain.from_iterable(cut)))
        starts = self._starts[numbers]
        lengths = self._starts[numbers + 1] - starts
        ends = np.cumsum([len(words) for words in cut], dtype=np.int64)
        counts = np.diff(np.concatenate([[0], np.cumsum(lengths)])[ends], prepend=0)
        return self._ids[ranges(starts, lengths)], counts

    def _numbers(self, words: list[str]) -> Integers:
        if self._characters > _MOST_CHARACTERS:
            self._forget()
        new = {*words}.difference(self._known)
        if new:
            self._learn(new)
        return np.fromiter(map(self._known.__getitem__, words), np.int64, len(words))

    def _learn(self, words: AbstractSet[str]) -> None:
        """Encode words, and remember their ids."""
        joinable = [word for word in words if _is_joinable(word)]
        others = [word for word in words if not _is_joinable(word)]
        groups = [joinable[start : start + _JOINED] for start in range(0, len(joinable), _JOINED)]
        found = [self._together(group) for group in groups] + [self._alone(others)]
        numbers = range(len(self._known), len(self._known) + len(words))
        self._known.update(zip(chain(joinable, others), numbers, strict=True))
        ends = np.cumsum(np.concatenate([lengths for _, lengths in found])) + self._starts[-1]
        self._starts = np.concatenate([self._starts, ends])
        self._ids = np.concatenate([self._ids, *(ids for ids, _ in found)])
        self._characters += sum(map(len, words)) + _CHARACTERS_OF_AN_ENTRY * len(words)

    def _together(self, words: list[str]) -> tuple[Ids, Integers]:
        """Encode words as one text, with a mark between each two of them; a call costs more than a word."""
        text = f" {_MARK.join(words)}"
        ids = np.array(encoded_by_halves(self._encode, [text], [REFUSED])[0], np.int32)
        size = len(self._mark)
        marks = np.flatnonzero(ids == self._mark[-1]) if size else np.zeros(0, np.int64)
        # An id of a word may be the mark's, such as that of unknown words; a word may be refused.
        if len(marks) != len(words) - 1 or REFUSED in ids:
            return self._alone(words)
        own = np.delete(ids, marks[:, None] - np.arange(size))
        return own, np.diff(marks, prepend=-1, append=len(ids) + size - 1) - size

    def _alone(self, words: list[str]) -> tuple[Ids, Integers]:
        texts = [word[1:] if word.startswith(_FIRST) else f" {word}" for word in words]
        found = encoded_by_halves(self._encode, texts, [REFUSED])
        return np.fromiter(chain.from_iterable(found), np.int32), np.array([len(ids) for ids in found], np.int64)

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        return [each.ids for each in self._backend.encode_batch_fast(texts, add_special_tokens=False)]

    def _forget(self) -> None:
        self._known = {}
        self._starts = np.zeros(1, np.int64)
        self._ids = np.zeros(0, np.int32)
        self._characters = 0


def _is_joinable(word: str) -> bool:
    """Tell whether plain spaces can stand before and after a word; the mark must not be in it."""
    return word[0] >= "!" and "!" <= word[-1] <= "~" and "|" not in word
