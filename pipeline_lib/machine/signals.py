"""Stop within seconds of SIGTERM or Ctrl-C, whatever blocks.

Python calls its signal handlers in the main thread only, between two of its own instructions. While that thread is
in C code, or waits for threads whose storage never answers, no handler runs. Then another thread, which the
system's own handler wakes through a pipe, prints the closing lines and ends the process. That is safe at any time:
staged files stay, a lease is free once its owner is dead, and `execution.cluster.orphans` ends what is left of Ray.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

_SECONDS_TO_END_IN_ORDER = 10.0
_SECONDS_TO_PRINT = 2.0
_SECONDS_TO_LEAVE = 0.1
_REASONS = {signal.SIGTERM: "stopped by SIGTERM", signal.SIGINT: "interrupted"}


@contextlib.contextmanager
def stoppable(closing_lines: Callable[[str], tuple[str, str]]) -> Iterator[None]:
    """Raise KeyboardInterrupt in the block when the program shall stop; end the process if that does not help.

    A signal that comes while the block begins is raised by the `with` statement itself.

    Args:
        closing_lines: given why the program stops, returns what is printed on standard error and standard output
            where the block can't print it any more; called in another thread.
    """
    read_end, write_end = os.pipe()
    errors = os.dup(2)  # standard error itself is turned away while Ray starts
    os.set_blocking(write_end, False)
    fd_before = signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    is_over = threading.Event()

    def watch() -> None:
        reason = _wait_for_signal(read_end)
        if reason and not is_over.wait(_SECONDS_TO_END_IN_ORDER):
            _end(errors, *closing_lines(reason))

    watcher = threading.Thread(target=watch, name="stop", daemon=True)
    watcher.start()
    handler_before, hook_before = signal.getsignal(signal.SIGTERM), sys.unraisablehook

    def ignored(found: "sys.UnraisableHookArgs") -> None:
        # Raised where Python passes no exception on, such as in `__del__`: it comes again when that is left.
        if isinstance(found.exc_value, KeyboardInterrupt):
            # Python's own handler of Ctrl-C gives no reason.
            number = signal.SIGTERM if found.exc_value.args else signal.SIGINT
            again = threading.Timer(_SECONDS_TO_LEAVE, os.kill, (os.getpid(), number))
            again.daemon = True
            again.start()
        else:
            hook_before(found)

    try:
        sys.unraisablehook = ignored
        signal.signal(signal.SIGTERM, _interrupt)
        yield
    finally:
        is_over.set()
        sys.unraisablehook = hook_before
        signal.set_wakeup_fd(fd_before)
        os.close(write_end)  # the watcher reads the end of the pipe, and ends
        watcher.join()
        signal.signal(signal.SIGTERM, handler_before)
        for descriptor in (read_end, errors):
            os.close(descriptor)


def interrupt_behind(error: BaseException) -> KeyboardInterrupt | None:
    """Return the KeyboardInterrupt that an exception was made of, if any.

    Some code turns every exception into its own: Python where a class is made, extension modules where they load.
    """
    cause: BaseException | None = error
    while cause:
        if isinstance(cause, KeyboardInterrupt):
            return cause
        cause = cause.__cause__ or cause.__context__
    return None


def _interrupt(*_: Any) -> None:
    # A KeyboardInterrupt is no Exception, so that no code on the way handles it as a failure.
    raise KeyboardInterrupt(_REASONS[signal.SIGTERM])


def _wait_for_signal(read_end: int) -> str | None:
    """Wait for a signal that asks to stop; return it in words, or None if the block ended before."""
    while received := os.read(read_end, 1):
        if received[0] in _REASONS:
            return _REASONS[signal.Signals(received[0])]
    return None


def _end(errors: int, to_errors: str, to_output: str) -> None:
    def write() -> None:
        with contextlib.suppress(OSError):
            os.write(errors, to_errors.encode(errors="backslashreplace"))
            os.write(1, to_output.encode(errors="backslashreplace"))

    # In a thread, since a pipe that nobody reads would block the write.
    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    writer.join(_SECONDS_TO_PRINT)
    os._exit(1)
