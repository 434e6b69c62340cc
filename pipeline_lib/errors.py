"""The kinds of failure, and the exit code of each."""

import difflib
from collections.abc import Iterable

from pipeline_lib.masking import masked


class NightscoreError(Exception):
    """A failure with one clear message for the user and no traceback.

    The exit codes tell a scheduler what to do next: 1 retry, 2 call a person, 3 look at the rejects,
    4 another run holds the output, 5 wait for the input.

    A message may quote a URL, so secrets in it are masked here, wherever the error is raised.
    """

    exit_code = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(masked(message))


class FaultError(NightscoreError):
    """Something outside the job failed and may work next time: storage, memory, a lost worker."""


class StorageFaultError(FaultError):
    """A request to a storage failed and may succeed at the next try."""


class LostWorkerError(FaultError):
    """Ray lost a worker or a machine; finished slices are kept, the others can be done again."""


class DeviceError(FaultError):
    """The device fails on a text that it computed before; only a new process can help."""


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
    """The output folder holds something that this run must not change."""

    exit_code = 2


class GateError(NightscoreError):
    """A gate failed: what was scored is staged and not published.

    Args:
        message: what each gate found.
        gates: the names of the gates, as in the settings' `limits`.
    """

    exit_code = 3

    def __init__(self, message: str, *gates: str) -> None:
        super().__init__(message)
        self.gates = gates


class BusyError(NightscoreError):
    """Another run holds this output."""

    exit_code = 4


class InputNotReadyError(NightscoreError):
    """The input of this date does not exist yet."""

    exit_code = 5


def did_you_mean(wrong: str, allowed: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the nearest allowed name, or an empty string.

    >>> did_you_mean("text_colum", ["path", "text_column"])
    "; did you mean 'text_column'?"
    """
    near = difflib.get_close_matches(wrong, list(allowed), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def listed(names: Iterable[str], most: int = 12) -> str:
    """Return names as `'a', 'b' and 3 more`, so that a message stays one line.

    >>> listed(["a", "b", "c"], most=2)
    "'a', 'b' and 1 more"
    """
    every = [repr(name) for name in names]
    shown = ", ".join(every[:most]) or "none"
    return shown if len(every) <= most else f"{shown} and {len(every) - most} more"
