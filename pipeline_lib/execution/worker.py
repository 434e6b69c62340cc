"""The process that steps run in, as steps see it: its share of the machine, and where they report to."""

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from pipeline_lib.inputs.shards import Slice
from pipeline_lib.scoring.bisection import Ledger
from pipeline_lib.scoring.quarantine import CrashLedger
from pipeline_lib.storage.records import Receipt


class Monitor(Protocol):
    """Where steps report to, whatever process they run in."""

    @property
    def ledger(self) -> CrashLedger:
        """The ledger of the texts that ended a process."""

    def loaded_model(self) -> None:
        """Report that this process has loaded the model."""

    def working(self, role: str, part: Slice) -> AbstractContextManager[None]:
        """Report how long a stage works on a slice in the block, and the memory of its process."""

    def scored(self, part: Slice, rows: int, tokens: int = 0) -> None:
        """Report how many rows of a slice are done; after a retry, the same slice is not counted twice.

        Args:
            part: the slice.
            rows: the rows that are done by now.
            tokens: all tokens of the slice, once it is done.
        """

    def written(self, part: Slice, receipt: Receipt) -> None:
        """Report that the files of a slice are written."""

    def note(self, text: str) -> None:
        """Report what a user should know and is no failure; the same text of several workers counts once."""


@dataclass(frozen=True)
class Worker:
    """The process that steps run in, and what of its machine they may use."""

    name: str
    """Stays the same when the process is restarted."""
    place: str
    """The machine, as messages name it."""
    threads: int | None
    """CPU threads of the model; None leaves the number that PyTorch has."""
    gpu_share: float
    """The share of a GPU that is this process's."""
    monitor: Monitor


class SilentMonitor:
    """Reports nothing: the caller gets the result, and a text that crashes the process crashes the caller too."""

    def __init__(self) -> None:
        self.ledger = Ledger()

    def loaded_model(self) -> None:
        """Report nothing."""

    @contextlib.contextmanager
    def working(self, role: str, part: Slice) -> Iterator[None]:
        """Report nothing."""
        del role, part
        yield

    def scored(self, part: Slice, rows: int, tokens: int = 0) -> None:
        """Report nothing."""

    def written(self, part: Slice, receipt: Receipt) -> None:
        """Report nothing."""

    def note(self, text: str) -> None:
        """Report nothing."""
