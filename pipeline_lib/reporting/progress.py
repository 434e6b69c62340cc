"""The progress of a run: a bar on a terminal, or a plain line now and then in a log."""

import contextlib
import os
import shlex
import threading
import time
from collections.abc import Iterator, Sequence

import yaml
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from pipeline_lib.engines.torch_engine import gpu_names
from pipeline_lib.machine.terminal import printable
from pipeline_lib.messages import count, duration, shortened
from pipeline_lib.planning.plan import Plan
from pipeline_lib.reporting.attempt import Attempt
from pipeline_lib.storage.records import Manifest

_SECONDS_BETWEEN_FIRST_LINES = 10.0
# After the first minute, since a log may grow for hours.
_SECONDS_BETWEEN_LINES = 30.0
_SECONDS_OF_FIRST_LINES = 60.0
_MOST_NAMES = 6
_LONGEST_NAME = 40
_LONGEST_HINT = 200


class Progress:
    """Prints what the run is doing, to a terminal or a log.

    Args:
        console: where to write; a bar is drawn only if it is a terminal.
    """

    def __init__(self, console: Console) -> None:
        self.attempt = Attempt()
        """How far the run has got."""
        self._console = console
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
        if self._console.is_terminal and self._total:
            self._bar = Bar(
                TextColumn("scoring"),
                BarColumn(),
                TextColumn("{task.completed:,.0f}/{task.total:,.0f} rows  {task.fields[rate]}"),
                TimeRemainingColumn(compact=True),
                TextColumn("left"),
                console=self._console,
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
            left = f", {duration((self._total - rows) / rate)} left"
            share = rows / max(self._total, 1)
            done = f"{rows:,} of {count(self._total, 'row')} ({share:.0%})"
            self._print("scoring", f"{done}, {rate:,.0f} rows/s{left}")

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

    def _print(self, topic: str, text: str) -> None:
        self._printed = time.monotonic()
        line = f"{topic:<8} {printable(text)}"
        self._console.print(line, highlight=False, markup=False, emoji=False, soft_wrap=True)


def plan_lines(plan: Plan) -> list[tuple[str, str]]:
    """Return a plan in words, as (topic, text) lines."""
    model, settings = plan.checkpoint, plan.settings
    slices, done = plan.slices, plan.slices - len(plan.todo)
    reused = f", {done:,} already scored" if done else ""
    limit = f"{model.max_tokens:,} tokens" if model.max_tokens else "texts of any length"
    labels = _named(model.labels)
    how = f"{settings.model.precision} by {plan.computation.engine}"
    commit = f" at {model.commit[:12]}" if model.commit else ""
    return [
        (
            "input",
            f"{count(len(plan.shards), 'shard')}, {count(plan.rows, 'row')}, {count(slices, 'slice')}{reused}",
        ),
        ("model", f"{model.name}{commit} ({model.architecture}), {how}, up to {limit}"),
        ("labels", f"{labels} ({model.activation})"),
        *_columns(plan),
        ("output", f"{settings.output.path} (version {plan.version})"),
        *(("note", text) for text in plan.notices),
        *(("note", f"replaces version {old} once all of this one is staged") for old in [plan.replaced] if old),
        *(
            ("note", f"the scores of {count(reused, 'slice')} are taken over: only kept columns differ")
            for reused in [len(plan.reusable)]
            if reused
        ),
        *(("note", f"{name} does not verify; it is set aside and made again") for name in plan.damaged_files),
        *(("note", f"{name} is none of this job's files; it is set aside") for name in plan.foreign_files),
    ]


def _columns(plan: Plan) -> list[tuple[str, str]]:
    """Return which columns are scored and kept, and the setting that would keep the text where it is not."""
    given = plan.settings.input
    texts = [name for name in (given.text_column, given.text_pair_column) if name]
    kept = [name for name, _ in plan.output_schema.kept]
    lines = [
        ("columns", f"{_named(texts)} {'is' if len(texts) == 1 else 'are'} scored, {_named(kept) or 'none'} kept")
    ]
    lost = [name for name in texts if name not in kept]
    if lost:
        wanted = yaml.safe_dump([*kept, *lost], default_flow_style=True, allow_unicode=True, width=10_000).strip()
        how = shlex.quote(f"input.keep_columns={wanted}")
        how = (
            f"with --set {how}"
            if len(how) <= _LONGEST_HINT
            else "by naming it with the others in input.keep_columns"
        )
        lines.append(("", f"{_named(lost)} will not be in the output; keep it {how}"))
    return lines


def _named(names: Sequence[str]) -> str:
    """Return the first of many names, each cut to a length that fits a terminal."""
    shown = ", ".join(shortened(name, _LONGEST_NAME) for name in names[:_MOST_NAMES])
    return shown + (f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else "")


def devices() -> str:
    """Return the devices of this machine in words, or which cluster is used."""
    here = f"{count(os.cpu_count() or 1, 'CPU')} and {', '.join(gpu_names()) or 'no GPU'} here"
    address = os.environ.get("RAY_ADDRESS")
    return f"the cluster at {address}" if address not in (None, "", "local", "auto") else here
