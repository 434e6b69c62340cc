"""The time and the memory that workers used for one night, and the rows that each node scored. Pure arithmetic."""

import math
from collections import Counter, defaultdict
from typing import NamedTuple

from pipeline_lib.execution.executor import Work

_LARGEST_FIRST = ("model", "tokenizer", "reader", "writer")


class WorkSpan(NamedTuple):
    """Some time in which a process worked on a slice."""

    role: str
    """The stage: reader, tokenizer, model or writer."""
    actor: str
    memory: int
    """Largest resident memory of the process so far, in bytes."""
    began: float
    """In seconds since 1970, like `ended`."""
    ended: float


class NightWork:
    """What the spans of a night add up to."""

    def __init__(self) -> None:
        self._peaks: dict[str, tuple[str, int]] = {}
        self._busy: dict[tuple[str, str], float] = defaultdict(float)
        self._rows: dict[tuple[int, int, int], tuple[int, str]] = {}
        self._began, self._ended = math.inf, 0.0

    def scored(self, part: tuple[int, int, int], rows: int, node: str) -> None:
        """Note how many rows of a slice a node has scored; the node that ends a slice has scored all of it."""
        self._rows[part] = rows, node

    def add(self, span: WorkSpan) -> None:
        """Add a span."""
        self._busy[span.role, span.actor] += span.ended - span.began
        self._began, self._ended = min(self._began, span.began), max(self._ended, span.ended)
        # An actor may have several roles; its memory is counted for the one that takes most.
        known, before = self._peaks.get(span.actor, (span.role, 0))
        self._peaks[span.actor] = (min(span.role, known, key=_LARGEST_FIRST.index), max(span.memory, before))

    def work(self) -> Work:
        """Return peaks of memory, the share of the time in which each stage worked, and each node's rows."""
        peaks: dict[str, list[int]] = defaultdict(list)
        for role, memory in sorted(self._peaks.values()):
            peaks[role].append(memory)
        seconds = max(self._ended - self._began, 0.0)
        shares: dict[str, list[float]] = defaultdict(list)
        for (role, _), busy in sorted(self._busy.items()):
            shares[role].append(busy / seconds if seconds else 0.0)
        by_node: Counter[str] = Counter()
        for rows, node in self._rows.values():
            by_node[node] += rows
        means = {role: sum(each) / len(each) for role, each in shares.items()}
        return Work(dict(peaks), seconds, means, rows_by_node=dict(sorted(by_node.items())))
