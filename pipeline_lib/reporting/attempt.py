"""How far one attempt at the job has got, so that its closing line can say it whenever the attempt ends."""

import datetime as dt
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from pipeline_lib.execution.executor import Work
from pipeline_lib.planning.discovery import Discovery
from pipeline_lib.planning.plan import Plan
from pipeline_lib.publishing.night_statistics import NightStatistics
from pipeline_lib.reporting.outcome import Outcome
from pipeline_lib.storage.records import Accepted, Receipt


@dataclass(eq=False)
class Attempt:
    """The state of an attempt; filled in as the attempt goes on."""

    started: float = field(default_factory=time.monotonic)
    """`time.monotonic()` at the start."""
    date: dt.date | None = None
    """The day of `--date`, if the job has one."""
    model: str = ""
    """The name of its model, if the settings file has several."""
    accept: str | None = None
    """Why its result is published even if a gate stops it."""
    backfill: dict[str, Any] | None = None
    """What the backfill was asked for that it is a part of; plain JSON values."""
    accepted: Accepted | None = None
    """The gates that had stopped what it published."""
    files: int = 0
    """Number of files of scored rows that it published."""
    phase: str = ""
    """What it does, in words."""
    discovery: Discovery | None = None
    plan: Plan | None = None
    is_writing: bool = False
    """Whether it may have staged or published something."""
    rows_done: int = 0
    """Rows that were scored, those of unfinished slices too."""
    receipts: list[Receipt] = field(default_factory=list)
    """Receipts of the slices that this attempt scored."""
    night: NightStatistics | None = None
    """What is counted of all its rows, once they are scored."""
    fail: Callable[[BaseException], None] = lambda _: None
    """Records that an error or a signal ended it; for a process that can't leave its blocks in order any more."""
    work: Work = field(default_factory=Work)
    """What the workers used for it."""
    page: str | None = None
    """Where the page of the night is, if there is one."""
    notes: list[str] = field(default_factory=list)
    """What the user should know in the end, and is no failure."""
    outcome: Outcome | None = None
    """How it ended, once that is certain; only its record and its page may be missing then."""
    error: BaseException | None = None
    """What ended it, if it failed or was stopped."""

    @property
    def title(self) -> str:
        """What tells it from others that are worked on together: its date, its model, or both."""
        return " ".join(str(each) for each in (self.date, self.model) if each)

    def start_scoring(self, *, is_first: bool = False) -> None:
        """Note that workers take its slices from now on; the time until now belongs to the nights before it."""
        if not self.is_writing:
            self.is_writing, self.phase = True, "scoring"
            self.started = self.started if is_first else time.monotonic()

    def result(self) -> Outcome:
        """Return how the attempt ended; raise what ended it early."""
        if self.error:
            raise self.error
        if self.outcome is None:
            raise RuntimeError("the attempt has not ended")
        return self.outcome

    @property
    def staged(self) -> list[Receipt]:
        """Receipts of all slices with finished files, whichever attempt scored them."""
        return [*(self.plan.finished if self.plan else ()), *self.receipts]

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return round(time.monotonic() - self.started, 3)


def summed(counts: Iterable[dict[str, int] | None]) -> dict[str, int] | None:
    """Return the sums of counts by name, or None if one of them is unknown."""
    total: Counter[str] = Counter()
    for count in counts:
        if count is None:
            return None
        total.update(count)
    return dict(sorted(total.items()))
