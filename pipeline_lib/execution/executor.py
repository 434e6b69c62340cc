"""What every executor is: it makes the plan for where it runs, and yields the receipts of the plan's slices."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from pipeline_lib.planning.discovery import Discovery
from pipeline_lib.planning.plan import Plan
from pipeline_lib.storage.records import Receipt


@dataclass(frozen=True)
class Work:
    """What the workers of a run took."""

    peak_bytes: dict[str, list[int]] = field(default_factory=dict)
    """Largest resident memory of every process, by what it did."""
    seconds: float = 0.0
    """From the first slice's start to the last one's end, without start-up and publishing."""
    busy: dict[str, float] = field(default_factory=dict)
    """Share of that time that each stage's actors were at work; what the model lacks to 1, it waited."""


class Listener(Protocol):
    """Who is told how a run goes; `reporting.progress.Progress` is one."""

    def phase(self, doing: str, topic: str = "start") -> None:
        """Hear what begins."""

    def note(self, text: str) -> None:
        """Hear what happened on the way and is no failure."""

    def starting(self, plan: Plan, workers: str) -> None:
        """Hear that scoring begins, and what works on it, in words."""

    def scored(self, rows: int) -> None:
        """Hear how many rows of this run are done."""


class Executor(Protocol):
    """Where the steps run."""

    def planned(self, discovery: Discovery, listener: Listener, *, is_run: bool) -> AbstractContextManager[Plan]:
        """Yield the plan for the machines of this executor; what was started for it ends with the block.

        Args:
            discovery: the shards and the output.
            listener: told what begins.
            is_run: whether the plan will be carried out, so that workers may start meanwhile.
        """

    def receipts(self, plan: Plan, listener: Listener) -> Iterator[Receipt]:
        """Take the slices that are to be done through the steps; yield the receipt of each when its files stand."""

    @property
    def work(self) -> Work:
        """What the workers took, once all receipts were yielded."""
