"""Finding the rows that kill the process that works on them, over the deaths of several processes. Pure logic.

A process that dies can't say why, so it says beforehand which rows it takes up. Its successor finds that note. The
first death may be nobody's fault: the slice is taken up again as it was, now noting every batch. Another death puts
a batch under suspicion; its halves are tried on their own, and theirs, until a row stands alone. A row alone that
kills again and again is guilty; whatever survives is not.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

# Killed by chance once, or even twice, is no proof: machines do get lost.
_DEATHS_ALONE = 3
# A batch of 4,096 rows is halved 12 times; beyond this a slice's deaths lead nowhere.
_DEATHS_WITHOUT_RESULT = 20


@dataclass
class Case:
    """What is known of one slice at one stage."""

    deaths: int = 0
    """Processes that died over it."""
    suspects: list[list[int]] = field(default_factory=list)
    """Sets of rows to try on their own before the slice is tried as a whole."""
    guilty: list[int] = field(default_factory=list)

    @property
    def hopeless(self) -> bool:
        """Whether processes keep dying and no row can be found that kills them."""
        return self.deaths > _DEATHS_WITHOUT_RESULT * (len(self.guilty) + 1)


class Ledger:
    """The notes of all processes: who took up what, and what is known of each slice.

    Keys name a slice at a stage, whatever they are.
    """

    def __init__(self) -> None:
        self._cases: dict[object, Case] = {}
        self._taken: dict[object, list[int] | None] = {}
        self._alone: dict[tuple[object, int], int] = {}

    def take_up(self, key: object) -> Case:
        """Return what is known of a slice; a predecessor that took it up and never laid it down has died."""
        case = self._cases.setdefault(key, Case())
        if key in self._taken:
            case.deaths += 1
            self._blame(key, case, self._taken[key])
        self._taken[key] = None
        return case

    def trying(self, key: object, rows: Sequence[int]) -> None:
        """Note the rows that are about to be computed."""
        self._taken[key] = list(rows)

    def survived(self, key: object) -> None:
        """Note that the rows tried last did no harm."""
        self._taken[key] = []

    def lay_down(self, key: object) -> None:
        """Note that a slice is done."""
        self._taken.pop(key, None)

    def _blame(self, key: object, case: Case, rows: list[int] | None) -> None:
        case.suspects = []
        if not rows:
            return  # it died between batches, or before any was noted
        if len(rows) > 1:
            middle = len(rows) // 2
            case.suspects = [rows[:middle], rows[middle:]]
            return
        self._alone[key, rows[0]] = self._alone.get((key, rows[0]), 0) + 1
        if self._alone[key, rows[0]] >= _DEATHS_ALONE:
            case.guilty.append(rows[0])
        else:
            case.suspects = [rows]
