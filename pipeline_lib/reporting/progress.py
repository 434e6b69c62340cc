"""The progress of a run: a bar on a terminal, or a line now and then in a log."""

import contextlib
import threading
import time
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from pipeline_lib.messages import count, duration
from pipeline_lib.planning.plan import Plan
from pipeline_lib.reporting.attempt import Attempt
from pipeline_lib.reporting.plan_lines import plan_lines
from pipeline_lib.reporting.printers import Printer, TextPrinter
from pipeline_lib.storage.records import Manifest

_SECONDS_BETWEEN_FIRST_LINES = 10.0
# After the first minute, since a log may grow for hours.
_SECONDS_BETWEEN_LINES = 30.0
_SECONDS_OF_FIRST_LINES = 60.0


class Progress:
    """Prints what the run is doing, to a terminal or a log.

    Args:
        target: what prints, or where to print text; a bar is drawn only on a terminal.
    """

    def __init__(self, target: Console | Printer) -> None:
        self.attempt = Attempt()
        """How far the run has got."""
        self._printer: Printer = TextPrinter(target) if isinstance(target, Console) else target
        self._bar: Bar | None = None
        self._total = 0
        self._phase: tuple[str, str] | None = None
        self._phase_began = self._began = self._printed = time.monotonic()
        self._any_rows = False

    @contextlib.contextmanager
    def heartbeat(self) -> Iterator[None]:
        """Print in the block what the run is still doing, whenever nothing was printed for some seconds."""
        is_over = threading.Event()

        def beat() -> None:
            while not is_over.wait(1.0):
                phase, now = self._phase, time.monotonic()
                if phase and now - self._printed >= _SECONDS_BETWEEN_FIRST_LINES:
                    self._print(phase[0], f"still {phase[1]}, {duration(now - self._phase_began)} so far")

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
        self._print(topic, doing)

    def planned(self, plan: Plan) -> None:
        """Print the plan."""
        for topic, text in plan_lines(plan):
            self._print(topic, text)

    def starting(self, plan: Plan, workers: str) -> None:
        """Print what works on the plan, and start counting."""
        self._print("workers", workers)
        self._total = sum(part.rows for part in plan.todo)
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
        if not rows:
            self._began = now  # the models are still loading, which the rate shall not count
        elif not self._any_rows:
            self._any_rows, self._phase = True, None
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
            self._print("scoring", f"{done}, {rate:,.0f} rows/s, {duration(left)} left", **fields)

    def note(self, text: str) -> None:
        """Print what the user should know and is no failure."""
        self._print("note", text)

    def publishing(self) -> None:
        """Print that scoring is over."""
        self.close()
        self.phase("recounting rows, moving parts into place", "publish")

    def published(self, manifest: Manifest) -> None:
        """Print a note if the slices of a manifest were not all computed in the same way."""
        ways = len(manifest.computed_by)
        if ways > 1:
            self.note(f"slices were computed in {ways} ways; computed_by in the manifest")

    def close(self) -> None:
        """Remove the bar from the terminal; may be called again."""
        if self._bar:
            self._bar.stop()
            self._bar = None

    def _seconds_between_lines(self, now: float) -> float:
        is_first = now - self._began < _SECONDS_OF_FIRST_LINES
        return _SECONDS_BETWEEN_FIRST_LINES if is_first else _SECONDS_BETWEEN_LINES

    def _print(self, topic: str, text: str, **fields: int) -> None:
        self._printed = time.monotonic()
        self._printer.line(topic, text, **fields)
