"""How a command ends: its messages, its closing line and its exit code."""

import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable

import typer

from pipeline_lib.errors import NightscoreError
from pipeline_lib.machine.signals import stoppable
from pipeline_lib.machine.terminal import printable
from pipeline_lib.reporting.attempt import Attempt

_SECONDS_TO_RECORD = 3.0


def ended(job: Callable[[], None], *, debug: bool, closing: Callable[[BaseException], str] = lambda _: "") -> None:
    """Run a command's body; one of our errors becomes its message, its closing line and its exit code."""

    def last_lines(why: str) -> tuple[str, str]:
        line = closing(KeyboardInterrupt(why))
        return f"{_stopped(why)}\n", f"{line}\n" if line else ""

    with stoppable(last_lines):
        try:
            job()
        except NightscoreError as error:
            if debug:
                traceback.print_exc()
            note(f"error: {printable(str(error))}")
            print_line(closing(error))
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt as stop:
            note(_stopped(str(stop)))
            print_line(closing(stop))
            # Threads of libraries may still be working, and Python's usual exit would unload what they use.
            os._exit(1)


def record_stop(attempts: Iterable[Attempt], error: BaseException) -> None:
    """Record of attempts that have not ended that a signal stopped them.

    The process may be about to end without leaving its blocks, because a storage does not answer; so each is
    recorded in a thread, and none is waited for longer than seconds.
    """
    threads = [threading.Thread(target=each.fail, args=(error,), daemon=True) for each in attempts]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + _SECONDS_TO_RECORD
    for thread in threads:
        thread.join(max(deadline - time.monotonic(), 0.0))


def _stopped(why: str) -> str:
    return f"error: {printable(why) or 'interrupted'}; run the same command again to go on where it stopped"


def print_line(line: str) -> None:
    """Print a line on standard output at once, unless it is empty."""
    if line:
        print(line, flush=True)


def note(text: str) -> None:
    """Print a line on standard error."""
    print(text, file=sys.stderr, flush=True)
