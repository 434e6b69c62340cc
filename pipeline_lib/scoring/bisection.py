"""Finding the texts that kill the process that works on them, over the deaths of several processes. Pure logic.

A process that dies can't say why, so it says beforehand which texts it takes up. Its successor finds that note. The
first death may be nobody's fault: the slice is taken up again as it was, now noting every batch. Another death puts
a batch under suspicion; its halves are tried on their own, and theirs, until a text stands alone. A text that kills
again and again while it is alone is guilty; whatever survives is not.

Equal texts are one text here, in all slices: what one of them did, all would do.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

Text = bytes
"""A digest of what a stage reads of a row; equal texts have equal ones."""

# Killed by chance once, or even twice, is no proof: machines do get lost.
_DEATHS_ALONE = 3
# The first death, that of a batch, and three of a text alone; the rest is left to chance.
_DEATHS_BESIDES_HALVING = 8
_DEATHS_WITHOUT_RESULT = 20


@dataclass
class Case:
    """What is known of one slice at one stage."""

    deaths: int = 0
    """Processes that died over it."""
    suspects: tuple[tuple[Text, ...], ...] = ()
    """Sets of texts to try on their own, in this order, before the slice is tried as a whole."""
    guilty: frozenset[Text] = frozenset()
    """Texts that kill at this stage, also those that other slices told of."""
    hopeless: bool = False
    """Whether processes keep dying and no text can be found that kills them."""


@dataclass
class _Record:
    """What the ledger keeps of a slice at a stage."""

    deaths: int = 0
    fruitless: int = 0
    """Deaths since a text was last found guilty."""
    widest: int = 0
    """Size of the largest set that was accused."""
    suspects: list[tuple[Text, ...]] = field(default_factory=list)
    alone: Counter[Text] = field(default_factory=Counter)
    """Deaths of each text alone, since it last survived."""
    is_taken: bool = False
    trying: tuple[Text, ...] = ()

    @property
    def hopeless(self) -> bool:
        halvings = max(self.widest - 1, 0).bit_length()
        return self.fruitless > max(_DEATHS_WITHOUT_RESULT, _DEATHS_BESIDES_HALVING + halvings)


class Ledger:
    """The notes of all processes: who took up what, and what is known of each slice.

    Keys name a slice at a stage: tuples that start with the stage. A ledger that was lost starts anew, so each call
    may be the first about its key.
    """

    def __init__(self) -> None:
        self._records: dict[tuple[object, ...], _Record] = {}
        self._guilty: dict[object, frozenset[Text]] = defaultdict(frozenset)

    def take_up(self, key: tuple[object, ...]) -> Case:
        """Return what is known of a slice; a predecessor that took it up and never laid it down has died."""
        record = self._records.setdefault(key, _Record())
        if record.is_taken:
            record.deaths += 1
            record.fruitless += 1
            self._blame(key[0], record)
        record.is_taken, record.trying = True, ()
        suspects = tuple(record.suspects)
        return Case(record.deaths, suspects, self._guilty[key[0]], record.hopeless)

    def trying(self, key: tuple[object, ...], texts: Sequence[Text]) -> None:
        """Note the texts that are about to be computed; those noted before did no harm."""
        record = self._records.setdefault(key, _Record())
        self._clear(record)
        record.is_taken, record.trying = True, tuple(dict.fromkeys(texts))

    def survived(self, key: tuple[object, ...]) -> None:
        """Note that the first of the sets under suspicion did no harm."""
        record = self._records.setdefault(key, _Record())
        self._clear(record)
        del record.suspects[:1]

    def lay_down(self, key: tuple[object, ...]) -> None:
        """Note that a slice is done."""
        record = self._records.pop(key, None)
        if record and record.deaths:  # of the others, which may be millions, nothing need be known
            self._records[key] = replace(record, is_taken=False, suspects=[], trying=(), alone=Counter())

    @staticmethod
    def _clear(record: _Record) -> None:
        for text in record.trying:
            del record.alone[text]
        record.trying = ()

    def _blame(self, stage: object, record: _Record) -> None:
        accused = record.trying
        if not accused:
            return  # it died between batches, or before any was noted: what was suspected still is
        record.widest = max(record.widest, len(accused))
        # The other sets under suspicion are still to be tried; the one that was tried gives way to its halves.
        others = record.suspects[1:]
        if len(accused) > 1:
            middle = len(accused) // 2
            record.suspects = [accused[:middle], accused[middle:], *others]
            return
        (text,) = accused
        record.alone[text] += 1
        if record.alone[text] < _DEATHS_ALONE:
            record.suspects = [accused, *others]
            return
        record.suspects, record.fruitless = others, 0
        self._guilty[stage] |= {text}
