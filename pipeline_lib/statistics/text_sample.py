"""A sample of distinct texts and how often each occurs: how many rows repeat a text, counted without keeping texts.

Duplicates of a slice can be counted in the slice, but a file that was delivered twice makes duplicates in
different slices. A text is in the sample if its hash is small, which all slices decide alike, so that samples add
up. Of a night only the smallest hashes are kept: the "bottom-k sketch" (E. Cohen and H. Kaplan, 2007). Each text
has the same chance to be in the sample, and with it all rows that have this text.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from heapq import nsmallest
from typing import Self

import numpy as np
from numpy.typing import NDArray

_BITS = 48
_SAMPLED = (1 << _BITS) // 16
"""One text of 16 is in the sample of a slice."""

MOST = 512
"""Largest number of texts in a sample: the standard error of a share of 5% is then 1 point."""


def text_hashes(texts: Iterable[bytes]) -> NDArray[np.uint64]:
    """Return a number of 48 bits for each text, of shape [texts], which stands for it in all that follows.

    Two different texts of a slice of 100,000 rows have the same number once in 56,000 slices.
    """
    size = _BITS // 8
    digests = b"".join(hashlib.blake2b(text, digest_size=size).digest() for text in texts)
    eight_bytes = np.zeros((len(digests) // size, 8), np.uint8)
    eight_bytes[:, -size:] = np.frombuffer(digests, np.uint8).reshape(-1, size)
    return eight_bytes.view(">u8").reshape(-1).astype(np.uint64)


@dataclass(frozen=True)
class TextSample:
    """How often each text of a sample occurs."""

    rows: Mapping[int, int] = field(default_factory=dict)
    """Number of rows by the hash of their text."""

    @classmethod
    def of(cls, hashes: NDArray[np.uint64]) -> Self:
        """Return the sample of rows, from the `text_hashes` of their texts."""
        numbers, rows = np.unique(hashes[hashes < _SAMPLED], return_counts=True)
        return cls._smallest(dict(zip(numbers.tolist(), rows.tolist(), strict=True)))

    @classmethod
    def _smallest(cls, rows: Mapping[int, int]) -> Self:
        return cls({number: rows[number] for number in nsmallest(MOST, rows)})

    def __add__(self, other: Self) -> Self:
        """Return the sample of the rows of both."""
        return self._smallest(Counter(self.rows) + Counter(other.rows))

    @property
    def sampled_rows(self) -> int:
        """Number of rows whose text is in the sample."""
        return sum(self.rows.values())

    @property
    def repeated_rows(self) -> int:
        """Number of these rows that are not the first one with their text."""
        return self.sampled_rows - len(self.rows)

    def to_text(self) -> str:
        """Return the hashes in hexadecimal, with the number of rows if it is not 1: `00c1fe02a977:2`."""
        return " ".join(
            f"{number:0{_BITS // 4}x}" + (f":{count}" if count > 1 else "")
            for number, count in sorted(self.rows.items())
        )

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Return the sample that `to_text` wrote.

        Raises:
            ValueError: the text is no sample.
        """
        rows: Counter[int] = Counter()
        for entry in text.split():
            number, _, count = entry.partition(":")
            rows[int(number, 16)] += int(count or "1")
        if any(not 0 <= number < _SAMPLED or count < 1 for number, count in rows.items()) or len(rows) > MOST:
            raise ValueError("no sample of texts")
        return cls(dict(sorted(rows.items())))
