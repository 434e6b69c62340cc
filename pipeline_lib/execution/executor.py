"""The protocol of executors: an executor makes plans for its machines, then runs them and yields what comes out."""

from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from pipeline_lib.errors import NightscoreError
from pipeline_lib.planning.discovery import Discovery
from pipeline_lib.planning.plan import Plan
from pipeline_lib.storage.records import Receipt


@dataclass(frozen=True)
class Work:
    """The memory and the time that the workers used for a night."""

    peak_bytes: dict[str, list[int]] = field(default_factory=dict)
    """Largest resident memory of every process in bytes, by the role of the process."""
    seconds: float = 0.0
    """From the first slice's start to the last one's end, without start-up and publishing."""
    busy: dict[str, float] = field(default_factory=dict)
    """Share of that time in which the actors of each stage worked; the rest of the time they waited."""
    model_loads: int = 0
    """How often a process has loaded the model since scoring began, for this night or for those before it."""
    rows_by_node: dict[str, int] = field(default_factory=dict)
    """Rows that each node of a cluster scored, by the address and the id of the node."""


Result = Receipt | Work | NightscoreError
"""Of a slice its receipt; of a night what was used for it, after its last receipt; or why the night ends early."""


class Listener(Protocol):
    """Receives the progress of a run; `reporting.progress.Progress` is one."""

    def phase(self, doing: str, topic: str = "start") -> None:
        """Receive what begins, in words."""

    def note(self, text: str) -> None:
        """Receive what the user should know and is no failure."""

    def starting(self, rows: int, workers: str) -> None:
        """Receive that scoring begins, of how many rows, and in words which processes score."""

    def scored(self, rows: int) -> None:
        """Receive how many rows of this run are done."""


def only_plan(plans: Sequence[Plan | NightscoreError]) -> Plan:
    """Return the plan of the only night.

    Raises:
        NightscoreError: why it has none.
    """
    (plan,) = plans
    if isinstance(plan, NightscoreError):
        raise plan
    return plan


class Executor(Protocol):
    """Where the steps run."""

    def plan(self, discovery: Discovery, listener: Listener) -> Plan:
        """Return the plan for the machines of this executor; no worker starts.

        Args:
            discovery: the shards and the output.
            listener: told what begins.
        """

    def planned(
        self, discoveries: Sequence[Discovery], listener: Listener
    ) -> AbstractContextManager[list[Plan | NightscoreError]]:
        """Yield the plans that will be carried out; what was started for them ends with the block.

        Args:
            discoveries: of nights that differ in their paths alone.
            listener: told what begins.

        Returns:
            for each night its plan, or why it has none.
        """

    def results(self, plans: Sequence[Plan], listener: Listener) -> Generator[tuple[int, Result], None, None]:
        """Take the slices that are left of all plans through the steps; the plans are worked on in their order.

        An error ends the night that it belongs to, and the others go on. What is raised ends them all.

        Args:
            plans: of nights that differ in their paths and files alone.
            listener: told how far the work is.

        Yields:
            the number of a plan, and a receipt once the files of a slice are written; what was used for a plan,
            after its last receipt or where it has no slice left; or an error, after which nothing comes of it.
        """
