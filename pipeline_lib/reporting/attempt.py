"""One attempt at the job, as far as it has got: what a closing line can tell whenever the attempt ends."""

import datetime as dt
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from pipeline_lib.planning.plan import Plan
from pipeline_lib.storage.records import Receipt


@dataclass
class Attempt:
    """What is known of an attempt; filled in as the attempt goes on."""

    started: float = field(default_factory=time.monotonic)
    """`time.monotonic()` at the start."""
    date: dt.date | None = None
    """The day that is scored, if the job has days."""
    plan: Plan | None = None
    receipts: list[Receipt] = field(default_factory=list)
    """Of the slices that this attempt scored."""

    @property
    def staged(self) -> list[Receipt]:
        """Receipts of all slices whose files stand, whichever attempt scored them."""
        return [*(self.plan.finished if self.plan else ()), *self.receipts]

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return round(time.monotonic() - self.started, 3)


def added(counts: Iterable[dict[str, int] | None]) -> dict[str, int] | None:
    """Return the sums of counts by name, or None if some are not known."""
    total: Counter[str] = Counter()
    for count in counts:
        if count is None:
            return None
        total.update(count)
    return dict(sorted(total.items()))
