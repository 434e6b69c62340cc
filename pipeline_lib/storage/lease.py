"""The lease on an output: one run at a time publishes there.

A lease names its owner and holds a count that the owner raises every few seconds. It is free once its owner is
known to be dead, which another process of the same machine can look up at once, or once the count has not moved for
a minute of the watcher's own time; no clock time is written or compared, so clocks may differ or jump. An owner
that was taken for dead finds its lease changed and publishes nothing.
"""

import contextlib
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from pydantic import ValidationError

from pipeline_lib.errors import BusyError
from pipeline_lib.machine.processes import ancestors, identity
from pipeline_lib.storage import compare_and_swap
from pipeline_lib.storage import files as storage
from pipeline_lib.storage.compare_and_swap import Held
from pipeline_lib.storage.records import LEASE, LeaseRecord

SECONDS_TO_LIVE = 60.0
SETTLE_SECONDS = 2.0
_SECONDS_BETWEEN_BEATS = 5.0
_SECONDS_BETWEEN_LOOKS = 1.0


class Lease:
    """A lease that this process holds."""

    def __init__(self, fs: Any, path: str, record: LeaseRecord, held: Held, *, heeds: bool) -> None:
        self._fs, self._path, self._record, self._held, self._heeds = fs, path, record, held, heeds
        self._lost = False
        self._turn = threading.Lock()

    def confirm(self) -> None:
        """Check that the lease is still ours; called before every step that readers see.

        Raises:
            BusyError: another run took this one for dead and holds the output now.
            OSError: the storage failed.
        """
        with self._turn:
            if not self._lost:
                record = self._record.model_copy(update={"beat": self._record.beat + 1})
                written = compare_and_swap.write(
                    self._fs, self._path, record.to_bytes(), self._held, heeds=self._heeds
                )
                self._lost = written is None
                self._record, self._held = record, written or self._held
        if self._lost:
            raise BusyError(
                "this run was taken for dead, and another one holds the output now; nothing is published"
            )

    def release(self) -> None:
        """Give the output free; a lease that can't be removed is found without an owner by the next run."""
        with self._turn, contextlib.suppress(OSError):
            compare_and_swap.remove(self._fs, self._path, self._held)


@contextlib.contextmanager
def leased(url: str, on_wait: Callable[[str], None] | None = None) -> Iterator[Lease]:
    """Hold the lease on an output folder for as long as the block runs.

    Args:
        url: the output folder.
        on_wait: told why when it takes a while; None, not to wait at all.

    Raises:
        BusyError: another run holds it, or may hold it.
    """
    fs, folder = storage.filesystem(url)
    with storage.faults_named(url, "taking the lease of the output"):
        lease = _take(fs, f"{folder}/{LEASE}", url, on_wait)
    done = threading.Event()

    def beat() -> None:
        while not done.wait(_SECONDS_BETWEEN_BEATS):
            # A store that fails now may answer the next time; a lost lease shows in `confirm`.
            with contextlib.suppress(Exception):
                lease.confirm()

    thread = threading.Thread(target=beat, name="lease", daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        done.set()
        thread.join()
        lease.release()


def _take(fs: Any, path: str, url: str, on_wait: Callable[[str], None] | None) -> Lease:
    record = LeaseRecord(
        run=uuid.uuid4().hex, host=os.uname().nodename, pid=os.getpid(), process=identity(os.getpid())
    )
    heeds: bool | None = None
    while True:
        found = compare_and_swap.read(fs, path)
        if found is not None and not _is_free(fs, path, found, url, on_wait):
            raise BusyError(f"{url!r}: {_named(found)} is at work on this output; leave it to that one")
        if heeds is None:
            heeds = compare_and_swap.heeded(fs, path)
            if not heeds and on_wait:
                on_wait(
                    f"the store of {url!r} does not heed conditional writes; the lease is written and looked at "
                    f"again after {SETTLE_SECONDS:.0f} s"
                )
        written = compare_and_swap.write(fs, path, record.to_bytes(), found, heeds=heeds)
        if written is not None and not heeds:
            # Whoever looked before this write has written by now; of several the last one has the lease.
            time.sleep(SETTLE_SECONDS)
            written = written if compare_and_swap.read(fs, path) == written else None
        if written is not None:
            return Lease(fs, path, record, written, heeds=heeds)


def _is_free(fs: Any, path: str, found: Held, url: str, on_wait: Callable[[str], None] | None) -> bool:
    """Tell whether a lease's owner is gone; for one on another machine this takes a minute.

    So it does where a living process proves nothing: the first one, and those that this one descends from, live as
    long as anybody looks, whoever wrote their names into the lease.
    """
    owner = _parse(found)
    here = identity(os.getpid())
    same_machine = owner and owner.process and here and owner.process.partition("/")[0] == here.partition("/")[0]
    if owner and same_machine and owner.pid not in {1, *ancestors(os.getpid())} - {os.getpid()}:
        return identity(owner.pid) != owner.process
    if on_wait is None:
        return False
    on_wait(f"{_named(found)} holds {url!r}; waiting up to {SECONDS_TO_LIVE:.0f} s for a sign of life")
    deadline = time.monotonic() + SECONDS_TO_LIVE
    while time.monotonic() < deadline:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
        now = compare_and_swap.read(fs, path)
        if now != found:
            return now is None
    return True


def _named(found: Held) -> str:
    owner = _parse(found)
    return f"run {owner.run[:8]} (process {owner.pid} on {owner.host})" if owner else "an unknown run"


def _parse(found: Held) -> LeaseRecord | None:
    try:
        return LeaseRecord.model_validate_json(found.content)
    except ValidationError:
        return None
