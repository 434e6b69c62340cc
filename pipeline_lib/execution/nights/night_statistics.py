"""The time and the memory that workers used for one night. Pure arithmetic."""

import math
from collections import defaultdict
from typing import NamedTuple

from pipeline_lib.execution.executor import Work


class WorkSpan(NamedTuple):
    """Some time in which a process worked on a slice."""

    role: str
    """The stage: tokenizer, model or writer."""
    actor: str
    memory: int
    """Largest resident memory of the process so far, in bytes."""
    began: float
    """In seconds since 1970, like `ended`."""
    ended: float


class NightStatistics:
    """What the spans of a night add up to."""

    def __init__(self) -> None:
        self._peaks: dict[str, tuple[str, int]] = {}
        self._busy: dict[tuple[str, str], float] = defaultdict(float)
        self._began, self._ended = math.inf, 0.0

    def add(self, span: WorkSpan) -> None:
        """Add a span."""
        self._busy[span.role, span.actor] += span.ended - span.began
        self._began, self._ended = min(self._began, span.began), max(self._ended, span.ended)
        # An actor may have several roles; its memory is counted for the model then.
        known, before = self._peaks.get(span.actor, (span.role, 0))
        role = "model" if "model" in (span.role, known) else known
        self._peaks[span.actor] = (role, max(span.memory, before))

    def work(self) -> Work:
        """Return peaks of memory, and the share of the night's time in which the actors of each stage worked."""
        peaks: dict[str, list[int]] = defaultdict(list)
        for role, memory in sorted(self._peaks.values()):
            peaks[role].append(memory)
        seconds = max(self._ended - self._began, 0.0)
        shares: dict[str, list[float]] = defaultdict(list)
        for (role, _), busy in sorted(self._busy.items()):
            shares[role].append(busy / seconds if seconds else 0.0)
        return Work(dict(peaks), seconds, {role: sum(each) / len(each) for role, each in shares.items()})
