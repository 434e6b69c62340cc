"""How a command ends: its messages, its closing line and its exit code."""

import os
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

import typer

from pipeline_lib.errors import NightscoreError
from pipeline_lib.machine.signals import interrupt_behind, stoppable
from pipeline_lib.machine.terminal import printable
from pipeline_lib.reporting.attempt import Attempt
from pipeline_lib.reporting.terminal.printers import printer

_SECONDS_TO_RECORD = 3.0


def ended(job: Callable[[], None], *, debug: bool, closing: Callable[[BaseException], str] = lambda _: "") -> None:
    """Run a command's body; one of our errors becomes its message, its closing line and its exit code."""
    shown = printer()

    def last_lines(why: str) -> tuple[str, str]:
        line = closing(KeyboardInterrupt(why))
        return shown.problem_line("error", _stopped(why), exit_code=1), f"{line}\n" if line else ""

    def stop(why: KeyboardInterrupt) -> NoReturn:
        shown.problem("error", _stopped(str(why)), exit_code=1)
        print_line(closing(why))
        # Threads of libraries may still be working, and Python's usual exit would unload what they use.
        os._exit(1)

    try:
        with stoppable(last_lines):
            try:
                job()
            except NightscoreError as error:
                if debug:
                    traceback.print_exc()
                line = closing(error)  # it may print notes, and the error stands last
                shown.problem("error", str(error), exit_code=error.exit_code)
                print_line(line)
                raise typer.Exit(error.exit_code) from None
            except KeyboardInterrupt as why:
                stop(why)
            except typer.Exit:
                raise
            except Exception as bug:
                if interrupt := interrupt_behind(bug):
                    stop(interrupt)
                closing(bug)
                raise
    except KeyboardInterrupt as why:  # it came before the block had begun
        stop(why)


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
    return f"{why or 'interrupted'}; run the same command again to go on where it stopped"


def print_line(line: str) -> None:
    """Print a line on standard output at once, unless it is empty."""
    if line:
        print(line, flush=True)


def print_topic(topic: str, text: str) -> None:
    """Print a line about a topic on standard output."""
    print(f"{topic:<8} {printable(text)}")


def note(topic: str, text: str, **fields: Any) -> None:
    """Print a line about a topic on standard error, with the numbers in it for programs."""
    printer().line(topic, text, **fields)
