"""The token ids of many texts in one buffer. Pure arithmetic."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Ids = NDArray[np.int32]


@dataclass(frozen=True)
class EncodedTexts:
    """The token ids of texts, one text after the other."""

    ids: Ids
    """Of all texts, shape [tokens that are kept]; a text that the tokenizer refuses has the id -1 alone."""
    type_ids: Ids
    """Token type ids, of the same shape."""
    lengths: Integers
    """Tokens that are kept of each text, shape [texts]."""
    counts: Integers
    """Tokens of each text before it was truncated, shape [texts]."""

    @classmethod
    def of(
        cls, ids: Sequence[Sequence[int]], type_ids: Sequence[Sequence[int]], counts: Sequence[int]
    ) -> "EncodedTexts":
        """Put lists of ids into one buffer."""
        lengths = np.array([len(each) for each in ids], np.int64)
        total = int(lengths.sum())
        return cls(
            np.fromiter(chain.from_iterable(ids), np.int32, total),
            np.fromiter(chain.from_iterable(type_ids), np.int32, total),
            lengths,
            np.array(counts, np.int64),
        )

    @classmethod
    def joined(cls, parts: Sequence["EncodedTexts"]) -> "EncodedTexts":
        """Return the texts of all parts, in their order."""
        if not parts:
            return cls.of([], [], [])
        columns = zip(*((part.ids, part.type_ids, part.lengths, part.counts) for part in parts), strict=True)
        ids, type_ids, lengths, counts = (np.concatenate(column) for column in columns)
        return cls(ids, type_ids, lengths, counts)

    def without(self, texts: Integers, stand_in: int) -> "EncodedTexts":
        """Return these texts with one id in the place of the tokens of some of them.

        Args:
            texts: numbers of texts that have tokens, each once.
            stand_in: the id.
        """
        if not len(texts):
            return self
        starts = (np.cumsum(self.lengths) - self.lengths)[texts]
        keep, ids, lengths = np.ones(len(self.ids), bool), self.ids.copy(), self.lengths.copy()
        keep[ranges(starts + 1, lengths[texts] - 1)] = False
        ids[starts], lengths[texts] = stand_in, 1
        return EncodedTexts(ids[keep], self.type_ids[keep], lengths, self.counts)

    def extremes(self) -> tuple[Integers, Integers]:
        """Return the smallest and the largest id of each text; 0 where a text has none."""
        smallest, largest = np.zeros((2, len(self.lengths)), np.int64)
        some = np.flatnonzero(self.lengths)
        if len(some):
            starts = (np.cumsum(self.lengths) - self.lengths)[some]
            smallest[some] = np.minimum.reduceat(self.ids, starts)
            largest[some] = np.maximum.reduceat(self.ids, starts)
        return smallest, largest

    def lists(self, values: Ids, texts: Integers) -> pa.Array:
        """Return ids or type ids of some texts as an Arrow array of lists.

        Args:
            values: `ids` or `type_ids`.
            texts: numbers of the texts; -1 stands for an empty list.
        """
        offsets = np.zeros(len(self.lengths) + 2, np.int32)
        np.cumsum(self.lengths, out=offsets[1:-1])
        offsets[-1] = offsets[-2]
        every = pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))
        return every.take(pa.array(np.where(texts < 0, len(self.lengths), texts)))


def ranges(starts: Integers, lengths: Integers) -> Integers:
    """Return the numbers from each start on, as many as its length says, one range after the other."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    return np.repeat(starts - (ends - lengths), lengths) + np.arange(total)
