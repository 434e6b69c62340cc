"""The lease on an output: one run at a time publishes there.

A lease names its owner and holds a count that the owner raises every few seconds, its heartbeat. Another run may
take the lease once the owner is dead, which a process on the same machine can look up at once, or once the count
has not changed for a minute. The waiting run alone measures that minute: no clock time is written or compared, so
the clocks of two machines may differ or jump. An owner whose lease was taken sees that and publishes nothing.
"""

import contextlib
import os
import threading
import time
import uuid
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass

from pipeline_lib.errors import BusyError
from pipeline_lib.machine.processes import ancestors, identity
from pipeline_lib.storage import compare_and_swap
from pipeline_lib.storage.compare_and_swap import TaggedContent
from pipeline_lib.storage.location import Location
from pipeline_lib.storage.records import LEASE, LeaseRecord, parse
from pipeline_lib.storage.store_errors import translated_errors, with_retries
from pipeline_lib.storage.urls import location_of

SECONDS_TO_LIVE = 60.0
SETTLE_SECONDS = 2.0
_SECONDS_BETWEEN_BEATS = 5.0
_POLL_SECONDS = 1.0
_TRIES = 3
_SECONDS_UNTIL_WRITTEN = 0.5


@dataclass(frozen=True)
class Sighting:
    """The lease of an output as it was seen, so that a wait for a sign of life counts from then."""

    content: TaggedContent | None
    at: float
    """As `time.monotonic()` gives it."""


class Lease:
    """A lease that this process holds."""

    def __init__(self, file: Location, record: LeaseRecord, current: TaggedContent, *, conditional: bool) -> None:
        self._file, self._record, self._current, self._conditional = file, record, current, conditional
        self._lost = False
        self._lock = threading.Lock()

    def confirm(self) -> None:
        """Check that the lease is still ours, and raise its count; called before every step that readers see.

        Raises:
            BusyError: another run took this one for dead and holds the output now.
            Exception: the storage failed.
        """
        with self._lock:
            self._lost = self._lost or not self._beaten()
        if self._lost:
            raise BusyError(
                "this run was taken for dead, and another one holds the output now; nothing is published"
            )

    def release(self) -> None:
        """Remove the lease; one that can't be removed has no living owner for the next run."""
        with self._lock, contextlib.suppress(Exception):  # whatever the storage's library raises
            compare_and_swap.remove(self._file, lambda current: _run_of(current) == self._record.run)

    def _beaten(self) -> bool:
        """Raise the count; return whether the lease is still ours."""
        for _ in range(_TRIES):
            record = self._record.model_copy(update={"beat": self._record.beat + 1})
            written = compare_and_swap.write(
                self._file, record.to_bytes(), self._current, conditional=self._conditional
            )
            if written is not None:
                self._record, self._current = record, written
                return True
            # An earlier write of ours may have been done while its answer was lost, or broken off in the middle.
            current = _read(self._file)
            if current is None or _run_of(current) not in ("", self._record.run):
                return False
            self._record, self._current = parse(LeaseRecord, current.content) or record, current
        return False


def sighting(url: str, files: Container[str]) -> Sighting | None:
    """Look at the lease of an output, for a run that wants it later, when other outputs are looked at too.

    Args:
        url: the output folder.
        files: the names of the files in it; without a lease among them, nothing is read.

    Raises:
        NightscoreError: the storage failed.
    """
    if LEASE not in files:
        return None
    with translated_errors(url, "looking at the lease of the output"):
        return Sighting(compare_and_swap.read(location_of(url) / LEASE), time.monotonic())


@contextlib.contextmanager
def leased(url: str, on_wait: Callable[[str], None] | None = None, seen: Sighting | None = None) -> Iterator[Lease]:
    """Hold the lease on an output folder for as long as the block runs.

    Args:
        url: the output folder.
        on_wait: called with the reason for a wait; None means not to wait at all.
        seen: the lease as it was before.

    Raises:
        BusyError: another run holds it, or may hold it.
    """
    record = LeaseRecord(
        run=uuid.uuid4().hex, host=os.uname().nodename, pid=os.getpid(), process=identity(os.getpid())
    )

    def acquired() -> Lease:
        with translated_errors(url, "taking the lease of the output"):
            return _acquire(record, url, on_wait, seen)

    lease = with_retries(acquired)
    done = threading.Event()

    def heartbeat() -> None:
        while not done.wait(_SECONDS_BETWEEN_BEATS):
            # A store that fails now may answer the next time; `confirm` reports a lost lease.
            with contextlib.suppress(Exception):
                lease.confirm()

    thread = threading.Thread(target=heartbeat, name="lease", daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        done.set()
        thread.join()
        lease.release()


def _acquire(record: LeaseRecord, url: str, on_wait: Callable[[str], None] | None, seen: Sighting | None) -> Lease:
    file = location_of(url) / LEASE
    conditional: bool | None = None
    while True:
        current = _read(file)
        first_seen = seen.at if seen and seen.content == current else time.monotonic()
        # A lease that is ours already was written by a try whose answer was lost.
        is_other = current is not None and _run_of(current) != record.run
        if current and is_other and not _is_free(url, current, first_seen, on_wait):
            raise BusyError(f"{url!r}: {_owner_name(current)} is at work on this output; leave it to that one")
        if conditional is None:
            conditional = compare_and_swap.has_conditional_writes(file)
            if not conditional and on_wait:
                on_wait(
                    f"the store of {url!r} ignores conditional writes; the lease is written and read again "
                    f"after {SETTLE_SECONDS:.0f} s"
                )
        written = compare_and_swap.write(file, record.to_bytes(), current, conditional=conditional)
        if written is not None and not conditional:
            # Whoever read before this write has written by now; of several the last writer has the lease.
            time.sleep(SETTLE_SECONDS)
            current = _read(file)
            written = current if current and _run_of(current) == record.run else None
        if written is not None:
            return Lease(file, record, written, conditional=conditional)


def _is_free(url: str, current: TaggedContent, first_seen: float, on_wait: Callable[[str], None] | None) -> bool:
    """Return whether the owner of a lease is gone; for an owner on another machine this takes a minute.

    It also takes a minute for process 1 and the ancestors of this process: they live as long as this process,
    whoever wrote their ids into the lease, so their being alive proves nothing.
    """
    owner = parse(LeaseRecord, current.content)
    here = identity(os.getpid())
    same_machine = owner and owner.process and here and owner.process.partition("/")[0] == here.partition("/")[0]
    if owner and same_machine and owner.pid not in {1, *ancestors(os.getpid())} - {os.getpid()}:
        return identity(owner.pid) != owner.process
    if on_wait is None:
        return False
    deadline = first_seen + SECONDS_TO_LIVE
    left = deadline - time.monotonic()
    if left > 0:
        on_wait(f"{_owner_name(current)} holds {url!r}; waiting up to {left:.0f} s for a sign of life")
    while time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
        now = _read(location_of(url) / LEASE)
        if now != current:
            return now is None
    return True


def _read(file: Location) -> TaggedContent | None:
    """Read a lease; one that is no record may be half written, since not every store shows whole files only."""
    for _ in range(_TRIES):
        current = compare_and_swap.read(file)
        if current is None or _run_of(current):
            break
        time.sleep(_SECONDS_UNTIL_WRITTEN)
    return current


def _run_of(current: TaggedContent) -> str:
    """Return the id of a lease's run; it is empty if the content is no record of a lease."""
    owner = parse(LeaseRecord, current.content)
    return owner.run if owner else ""


def _owner_name(current: TaggedContent) -> str:
    owner = parse(LeaseRecord, current.content)
    return f"run {owner.run[:8]} (process {owner.pid} on {owner.host})" if owner else "an unknown run"
