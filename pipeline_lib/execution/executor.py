"""The protocol of executors: an executor makes the plan for its machines, then runs it and yields receipts."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from pipeline_lib.planning.discovery import Discovery
from pipeline_lib.planning.plan import Plan
from pipeline_lib.storage.records import Receipt


@dataclass(frozen=True)
class Work:
    """The memory and the time that the workers of a run used."""

    peak_bytes: dict[str, list[int]] = field(default_factory=dict)
    """Largest resident memory of every process in bytes, by the role of the process."""
    seconds: float = 0.0
    """From the first slice's start to the last one's end, without start-up and publishing."""
    busy: dict[str, float] = field(default_factory=dict)
    """Share of that time in which the actors of each stage worked; the rest of the time they waited."""
    rows_by_node: dict[str, int] = field(default_factory=dict)
    """Rows that each node of a cluster scored, by the address and the id of the node."""


class Listener(Protocol):
    """Receives the progress of a run; `reporting.progress.Progress` is one."""

    def phase(self, doing: str, topic: str = "start") -> None:
        """Receive what begins, in words."""

    def note(self, text: str) -> None:
        """Receive what the user should know and is no failure."""

    def starting(self, plan: Plan, workers: str) -> None:
        """Receive that scoring begins, and in words which processes score."""

    def scored(self, rows: int) -> None:
        """Receive how many rows of this run are done."""


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
        """Take the slices that are left through the steps; yield the receipt of each once its files are written."""

    @property
    def work(self) -> Work:
        """What the workers used, once all receipts were yielded."""
