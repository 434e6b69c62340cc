"""Bisect the texts of a slice to the ones that crash the process that works on them. Pure logic.

A process that crashes can't say why, so it notes beforehand which texts it begins with. The process that replaces
it reads that note. The first crash may be chance: the slice is tried again as a whole, and every batch is noted.
When a batch crashes, its halves become candidates and are tried on their own, and then their halves, down to single
texts. A text that crashes several times in a row while it is alone is a culprit; a text that is computed is not.

Equal texts are one text here, in all slices, since all of them have the same effect.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

TextDigest = bytes
"""A digest of what a stage reads of a row; equal texts have equal digests."""

# One crash of a text that is alone, or even two, may be chance: machines fail now and then.
_CRASHES_ALONE = 3
# The first crash, that of a batch, and three of a text alone; the others may be chance.
_CRASHES_BESIDES_HALVING = 8
_CRASHES_WITHOUT_RESULT = 20


@dataclass
class CrashHistory:
    """What is known of one slice at one stage."""

    crashes: int = 0
    """Processes that crashed over it."""
    candidates: tuple[tuple[TextDigest, ...], ...] = ()
    """Sets of texts to try on their own, in this order, before the slice is tried as a whole."""
    culprits: frozenset[TextDigest] = frozenset()
    """Texts that crash this stage, in any slice."""
    is_unsolved: bool = False
    """Whether processes go on to crash though no text could be found that causes it."""


@dataclass
class _Record:
    """What the ledger keeps of a slice at a stage."""

    crashes: int = 0
    crashes_without_result: int = 0
    """Crashes since the last culprit was found."""
    largest_batch: int = 0
    """Size of the largest set of texts that crashed."""
    candidates: list[tuple[TextDigest, ...]] = field(default_factory=list)
    crashes_alone: Counter[TextDigest] = field(default_factory=Counter)
    """Crashes of each text alone, since it was last computed."""
    is_in_work: bool = False
    batch: tuple[TextDigest, ...] = ()

    @property
    def is_unsolved(self) -> bool:
        halvings = max(self.largest_batch - 1, 0).bit_length()
        return self.crashes_without_result > max(_CRASHES_WITHOUT_RESULT, _CRASHES_BESIDES_HALVING + halvings)


class Ledger:
    """The notes of all processes: which slice and batch each began, and what is known of each slice.

    Keys name a slice at a stage: tuples that start with the stage. A ledger that was lost starts empty, so each
    call may be the first about its key.
    """

    def __init__(self) -> None:
        self._records: dict[tuple[object, ...], _Record] = {}
        self._culprits: dict[object, frozenset[TextDigest]] = defaultdict(frozenset)

    def begin_work(self, key: tuple[object, ...]) -> CrashHistory:
        """Note that a process begins, and return what is known; if one began before and did not end, it crashed."""
        record = self._records.setdefault(key, _Record())
        if record.is_in_work:
            record.crashes += 1
            record.crashes_without_result += 1
            self._bisect(key[0], record)
        record.is_in_work, record.batch = True, ()
        return CrashHistory(record.crashes, tuple(record.candidates), self._culprits[key[0]], record.is_unsolved)

    def begin_batch(self, key: tuple[object, ...], texts: Sequence[TextDigest]) -> None:
        """Note the texts that are computed next; the batch before it was computed."""
        record = self._records.setdefault(key, _Record())
        self._clear_batch(record)
        record.is_in_work, record.batch = True, tuple(dict.fromkeys(texts))

    def clear_candidates(self, key: tuple[object, ...]) -> None:
        """Note that the first set of candidates was computed."""
        record = self._records.setdefault(key, _Record())
        self._clear_batch(record)
        del record.candidates[:1]

    def end_work(self, key: tuple[object, ...]) -> None:
        """Note that a slice is done."""
        record = self._records.pop(key, None)
        if record and record.crashes:  # the others may be millions, and need no record
            self._records[key] = replace(record, is_in_work=False, candidates=[], batch=(), crashes_alone=Counter())

    @staticmethod
    def _clear_batch(record: _Record) -> None:
        for text in record.batch:
            del record.crashes_alone[text]
        record.batch = ()

    def _bisect(self, stage: object, record: _Record) -> None:
        """Replace the set of texts that crashed by its halves; a text that crashed alone often is a culprit."""
        batch = record.batch
        if not batch:
            return  # it crashed between batches, or before any was noted: the candidates stay as they are
        record.largest_batch = max(record.largest_batch, len(batch))
        others = record.candidates[1:]
        if len(batch) > 1:
            middle = len(batch) // 2
            record.candidates = [batch[:middle], batch[middle:], *others]
            return
        (text,) = batch
        record.crashes_alone[text] += 1
        if record.crashes_alone[text] < _CRASHES_ALONE:
            record.candidates = [batch, *others]
            return
        record.candidates, record.crashes_without_result = others, 0
        self._culprits[stage] |= {text}
