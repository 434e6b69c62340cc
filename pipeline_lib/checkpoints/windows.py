"""Windows over texts of more tokens than the limit, as Hugging Face tokenizers cut them. Pure arithmetic."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.settings.sections.model import WindowJoin

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class WindowCut:
    """How long texts are cut into windows, each with the special tokens of a whole text.

    The windows are those of `tokenizer(text, truncation=True, max_length=limit, stride=stride,
    return_overflowing_tokens=True)`; see `TruncationDirection` in the tokenizers library.
    """

    limit: int
    """Tokens of a window at most, special tokens included."""
    stride: int
    """Tokens of the text that neighbouring windows share; fewer than a window has."""
    before: int
    """Special tokens before a text."""
    after: int
    """Special tokens after it."""
    from_end: bool
    """Whether the first window is at the end of a text, since the tokenizer truncates on the left."""
    join: WindowJoin
    """What becomes of the windows' answers: their mean, weighted by tokens, or the largest of each number."""

    @property
    def content(self) -> int:
        """Tokens of the text in a full window."""
        return self.limit - self.before - self.after

    def counts(self, lengths: NDArray[np.int32]) -> Integers:
        """Return the number of windows of texts; 1 where a text is not too long.

        Args:
            lengths: tokens of each text, special tokens included, shape [texts].
        """
        beyond = np.maximum(lengths.astype(np.int64) - self.limit, 0)
        step = self.content - self.stride
        return 1 + -(-beyond // step)

    def tokens(self, lengths: NDArray[np.int32]) -> Integers:
        """Return the tokens of all windows of each text together; `lengths` as in `counts`."""
        return lengths + (self.counts(lengths) - 1) * (self.stride + self.before + self.after)

    def bounds(self, lengths: NDArray[np.int32], numbers: Integers) -> tuple[Integers, Integers]:
        """Return where windows begin and end among a text's own tokens, without the special ones.

        Args:
            lengths: tokens of the text of each window, special tokens included, shape [windows].
            numbers: of each window in its text, from 0, in the order of the tokenizer.
        """
        own = np.maximum(lengths.astype(np.int64) - self.before - self.after, 0)
        shift = numbers * (self.content - self.stride)
        if self.from_end:
            ends = own - shift
            return np.maximum(ends - self.content, 0), ends
        return shift, np.minimum(shift + self.content, own)

    def window(self, ids: NDArray[np.int32], start: int, end: int) -> NDArray[np.int32]:
        """Return the token ids, or token type ids, of a window of a text that has several.

        Args:
            ids: of the whole text, special tokens included.
            start: where the window begins, from `bounds`.
            end: where it ends.
        """
        own = ids[self.before + start : self.before + end]
        return np.concatenate([ids[: self.before], own, ids[len(ids) - self.after :]])
