"""The progress of a run: a bar on a terminal, or a line now and then in a log."""

import contextlib
import threading
import time
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from pipeline_lib.messages import count, duration
from pipeline_lib.reporting.attempt import Attempt
from pipeline_lib.reporting.terminal.printers import Printer, TextPrinter

_SECONDS_BETWEEN_FIRST_LINES = 10.0
# After the first minute, since a log may grow for hours.
_SECONDS_BETWEEN_LINES = 30.0
_SECONDS_OF_FIRST_LINES = 60.0


class Progress:
    """Prints what the run is doing, to a terminal or a log.

    Args:
        target: what prints, or where to print text; a bar is drawn only on a terminal.
        is_one_night: whether all that is printed is about one night.
    """

    def __init__(self, target: Console | Printer, *, is_one_night: bool = True) -> None:
        self.attempt = Attempt()
        """How far the run has got, if it is one of one night."""
        self.is_one_night = is_one_night
        self._printer: Printer = TextPrinter(target) if isinstance(target, Console) else target
        self._bar: Bar | None = None
        self._total = 0
        self._phase: tuple[str, str] | None = None
        self._phase_began = self._began = self._printed = time.monotonic()
        self._any_rows = False
        self._told: set[tuple[str, str]] = set()

    @contextlib.contextmanager
    def heartbeat(self) -> Iterator[None]:
        """Print in the block what the run is still doing, whenever nothing was printed for some seconds."""
        is_over = threading.Event()

        def beat() -> None:
            while not is_over.wait(1.0):
                phase, now = self._phase, time.monotonic()
                if phase and now - self._printed >= _SECONDS_BETWEEN_FIRST_LINES:
                    self.tell(phase[0], f"still {phase[1]}, {duration(now - self._phase_began)} so far")

        thread = threading.Thread(target=beat, name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()

    def phase(self, doing: str, topic: str = "start") -> None:
        """Print what begins, such as "connecting to Ray"."""
        self._phase, self._phase_began = (topic, doing), time.monotonic()
        self.attempt.phase = doing
        self.tell(topic, doing)

    def went_on(self, doing: str) -> None:
        """Note how far the phase has got that was printed last; this is printed only if it takes long."""
        if self._phase:
            self._phase = (self._phase[0], doing)

    def silent_phase(self, doing: str, topic: str = "start") -> None:
        """Note what begins, which is printed only if it takes long; where rows are counted, these are printed."""
        if not self._any_rows:
            self._phase, self._phase_began = (topic, doing), time.monotonic()

    def starting(self, rows: int, workers: str) -> None:
        """Print what works on the plan, and start counting."""
        self.tell("workers", workers)
        self._total = rows
        self._began = time.monotonic()
        self.phase("loading the checkpoint, no rows yet", "scoring")
        console = self._printer.console
        if console and console.is_terminal and self._total:
            self._bar = Bar(
                TextColumn("scoring"),
                BarColumn(),
                TextColumn("{task.completed:,.0f}/{task.total:,.0f} rows  {task.fields[rate]}"),
                TimeRemainingColumn(compact=True),
                TextColumn("left"),
                console=console,
                transient=True,
            )
            self._bar.add_task("", total=self._total, rate="starting")
            self._bar.start()

    def scored(self, rows: int) -> None:
        """Print how many rows of this run are done; called often."""
        now = time.monotonic()
        self.attempt.rows_done = rows
        if not rows:
            self._began = now  # the models are still loading, which the rate shall not count
        elif not self._any_rows:
            self._any_rows, self._phase = True, None
            self.attempt.phase = "scoring"
            self._printed = 0.0  # the first rows are printed at once
        rate = rows / max(now - self._began, 1e-9)
        if self._bar:
            self._bar.update(
                self._bar.task_ids[0], completed=rows, rate=f"{rate:,.0f} rows/s" if rows else "starting"
            )
        elif rows and now - self._printed >= self._seconds_between_lines(now):
            left = (self._total - rows) / rate
            share = rows / max(self._total, 1)
            done = f"{rows:,} of {count(self._total, 'row')} ({share:.0%})"
            fields = {
                "rows": rows,
                "of_rows": self._total,
                "rows_per_second": round(rate),
                "seconds_left": round(left),
            }
            self.tell("scoring", f"{done}, {rate:,.0f} rows/s, {duration(left)} left", **fields)

    def note(self, text: str) -> None:
        """Print what the user should know and is no failure."""
        self.tell("note", text)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Remove the bar for as long as the block runs, which prints on the same terminal."""
        if self._bar:
            self._bar.stop()
        yield
        if self._bar:
            self._bar.start()

    def close(self) -> None:
        """Remove the bar from the terminal; may be called again."""
        if self._bar:
            self._bar.stop()
            self._bar = None

    def _seconds_between_lines(self, now: float) -> float:
        is_first = now - self._began < _SECONDS_OF_FIRST_LINES
        return _SECONDS_BETWEEN_FIRST_LINES if is_first else _SECONDS_BETWEEN_LINES

    def tell_once(self, topic: str, text: str) -> None:
        """Print a line unless the same was printed before."""
        if (topic, text) not in self._told:
            self._told.add((topic, text))
            self.tell(topic, text)

    def tell(self, topic: str, text: str, **fields: int) -> None:
        """Print a line about a topic, with the numbers in it for programs."""
        self._printed = time.monotonic()
        self._printer.line(topic, text, **fields)
