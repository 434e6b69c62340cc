"""What can go wrong, and the exit code each kind of failure ends the program with."""

import difflib
from collections.abc import Iterable

from pipeline_lib.masking import masked


class NightscoreError(Exception):
    """A failure with one clear message for the user and no traceback.

    The exit codes tell a scheduler what to do next: 1 retry, 2 call a person, 3 look at the rejects,
    4 another run is at it, 5 wait for the input.

    A library's words may quote a URL, so secrets are masked here, whoever raises it.
    """

    exit_code = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(masked(message))


class FaultError(NightscoreError):
    """Something outside the job failed and may work next time: storage, memory, a lost worker."""


class StorageFaultError(FaultError):
    """A storage did not do what it was asked, and may at the next try."""


class LostWorkerError(FaultError):
    """Ray lost a worker or a machine; what was written stands, the rest can be done again."""


class DeviceError(FaultError):
    """The device no longer computes what it did before; only a new process can help."""


class SettingsError(NightscoreError):
    """A setting is wrong: unknown, of the wrong type, or impossible on this machine."""

    exit_code = 2


class InputError(NightscoreError):
    """The input is wrong: missing, unreadable, or without the columns the settings name."""

    exit_code = 2


class CheckpointError(NightscoreError):
    """The checkpoint can't be found, or can't be trusted to give the right answers."""

    exit_code = 2


class OutputError(NightscoreError):
    """The output folder holds something that this run must not touch."""

    exit_code = 2


class GateError(NightscoreError):
    """Scoring finished but a gate failed: the result is staged and not published."""

    exit_code = 3


class BusyError(NightscoreError):
    """Another run is at work on this output."""

    exit_code = 4


class InputNotReadyError(NightscoreError):
    """The folder for this date is not there yet."""

    exit_code = 5


def did_you_mean(found: str, allowed: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the nearest allowed name, or an empty string.

    >>> did_you_mean("text_colum", ["path", "text_column"])
    "; did you mean 'text_column'?"
    """
    near = difflib.get_close_matches(found, list(allowed), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def listed(names: Iterable[str], most: int = 12) -> str:
    """Return names as `'a', 'b' and 3 more`, so that a message stays one line.

    >>> listed(["a", "b", "c"], most=2)
    "'a', 'b' and 1 more"
    """
    every = [repr(name) for name in names]
    shown = ", ".join(every[:most]) or "none"
    return shown if len(every) <= most else f"{shown} and {len(every) - most} more"
