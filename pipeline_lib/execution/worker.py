"""The process that steps run in, as steps see it: its share of the machine, and where they report to."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from pipeline_lib.inputs.shards import Slice
from pipeline_lib.scoring.quarantine import CrashLedger


class Monitor(Protocol):
    """Where steps report to, whatever process they run in."""

    @property
    def ledger(self) -> CrashLedger:
        """The ledger of the texts that ended a process."""

    def loaded_model(self) -> None:
        """Report that this process has loaded the model."""

    def working(self, role: str, part: Slice) -> AbstractContextManager[None]:
        """Report how long a stage works on a slice in the block, and the memory of its process."""

    def scored(self, part: Slice, rows: int) -> None:
        """Report how many rows of a slice are done; after a retry, the same slice is not counted twice."""

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
