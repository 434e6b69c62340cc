"""What goes through the model for the texts of a slice: each whole, or its windows, whose answers are joined."""

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.checkpoints.windows import WindowCut
from pipeline_lib.engines.engine import Floats, Ids, Rows
from pipeline_lib.scoring.token_columns import DistinctRows


class Windows:
    """The windows of some texts. Their token ids are made when they are asked for, since windows share tokens.

    Args:
        texts: with the ids of whole texts.
        cut: how they are cut; None: each text is one window.
    """

    def __init__(self, texts: DistinctRows, cut: WindowCut | None) -> None:
        self._texts, self._cut = texts, cut
        self._counts = cut.counts(texts.lengths) if cut else np.ones(len(texts.ids), np.int64)
        self.text: Rows = np.repeat(np.arange(len(texts.ids)), self._counts)
        """The number of each window's text."""
        self.lengths = texts.lengths[self.text]
        """Tokens of each window, special tokens included."""
        if cut:
            numbers = np.arange(len(self.text)) - np.repeat(np.cumsum(self._counts) - self._counts, self._counts)
            self._starts, self._ends = cut.bounds(self.lengths, numbers)
            several = (self._counts > 1)[self.text]
            tokens = self._ends - self._starts + cut.before + cut.after
            self.lengths = np.where(several, tokens, self.lengths).astype(np.int32)

    def ids(self, windows: Rows) -> tuple[list[Ids], list[Ids]]:
        """Return the token ids and the token type ids of some windows."""
        both = ([self._of(ids, window) for window in windows] for ids in (self._texts.ids, self._texts.type_ids))
        return next(both), next(both)

    def joined(self, width: int) -> "JoinedAnswers":
        """Return what joins the windows' answers, of some width each."""
        return JoinedAnswers(self.text, self.lengths, (len(self._texts.ids), width), self._cut)

    def _of(self, rows: list[Ids], window: int) -> Ids:
        text = self.text[window]
        whole = rows[int(text)]
        if self._cut is None or self._counts[text] == 1:
            return whole
        return self._cut.window(whole, int(self._starts[window]), int(self._ends[window]))


class JoinedAnswers:
    """Joins the answers of windows, as they come, to those of their texts.

    `mean` weights each window by its tokens, special ones included; `max` takes the largest of each number. A text
    of one window gets that window's very answer.

    Args:
        text: the number of each window's text, shape [windows].
        lengths: tokens of each window.
        shape: of the result: texts, numbers in an answer.
        cut: has the way to join; None: each text is one window.
    """

    def __init__(
        self, text: Rows, lengths: NDArray[np.int32], shape: tuple[int, int], cut: WindowCut | None
    ) -> None:
        self._text, self._lengths, self._join = text, lengths, cut.join if cut else None
        self.width = shape[1]
        self._answers = np.full(shape, -np.inf if self._join == "max" else 0.0, np.float64 if cut else np.float32)

    def add(self, windows: Rows, answers: Floats) -> None:
        """Take the answers of some windows, shape [windows, width]; each comes once."""
        text = self._text[windows]
        if self._join is None:
            self._answers[text] = answers
        elif self._join == "max":
            np.maximum.at(self._answers, text, answers)
        else:
            with np.errstate(invalid="ignore"):  # what is not finite is rejected later
                np.add.at(self._answers, text, answers * self._lengths[windows, None].astype(np.float64))

    def result(self) -> Floats:
        """Return the answers of the texts, shape [texts, width]."""
        if self._join == "mean":
            tokens = np.bincount(self._text, self._lengths, minlength=len(self._answers))
            return (self._answers / tokens[:, None]).astype(np.float32)
        return self._answers.astype(np.float32)
