"""Stop within seconds of SIGTERM or Ctrl-C, whatever hangs.

Python hands a signal to the main thread between two of its own instructions. While that thread waits in C code, or
for threads that wait for a storage that never answers, it does not come to it: then a thread of its own, which the
system's own handler wakes, says the last words and ends the process. That is safe at any time: what is staged
stays, the lease is free once its owner is dead, and `reaper` ends what is left of Ray.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

_SECONDS_TO_END_IN_ORDER = 10.0
_SECONDS_TO_SPEAK = 2.0


@contextlib.contextmanager
def stoppable(last_words: Callable[[str], tuple[str, str]]) -> Iterator[None]:
    """Raise KeyboardInterrupt in the block when the program is to stop; end it if that does not help.

    Args:
        last_words: given why the program stops, returns what is to be said on standard error and standard output
            where the block can't say it any more; called in another thread.
    """
    before = signal.signal(signal.SIGTERM, _stop)
    woken, wake = os.pipe()
    errors = os.dup(2)  # standard error itself is turned away while Ray starts
    os.set_blocking(wake, False)
    fd_before = signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    over = threading.Event()

    def watch() -> None:
        why = _asked_to_stop(woken)
        if why and not over.wait(_SECONDS_TO_END_IN_ORDER):
            _end(errors, *last_words(why))

    watcher = threading.Thread(target=watch, name="stop", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        signal.set_wakeup_fd(fd_before)
        os.close(wake)  # the watcher reads the end, and ends
        watcher.join()
        signal.signal(signal.SIGTERM, before)
        for descriptor in (woken, errors):
            os.close(descriptor)


def _stop(*_: Any) -> None:
    # No Exception, so that nothing on the way takes it for a failure of its own.
    raise KeyboardInterrupt("stopped by SIGTERM")


def _asked_to_stop(woken: int) -> str | None:
    """Wait until a signal asks to stop; return its words, or None if the block ended before."""
    words = {signal.SIGTERM: "stopped by SIGTERM", signal.SIGINT: "interrupted"}
    while received := os.read(woken, 1):
        if received[0] in words:
            return words[signal.Signals(received[0])]
    return None


def _end(errors: int, to_errors: str, to_output: str) -> None:
    def speak() -> None:
        with contextlib.suppress(OSError):
            os.write(errors, to_errors.encode(errors="backslashreplace"))
            os.write(1, to_output.encode(errors="backslashreplace"))

    # In a thread, since nobody may read what is written.
    speaker = threading.Thread(target=speak, daemon=True)
    speaker.start()
    speaker.join(_SECONDS_TO_SPEAK)
    os._exit(1)
