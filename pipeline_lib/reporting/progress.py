"""What a run tells while it works: a bar on a terminal, a plain line now and then in a log."""

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

_SECONDS_OF_SILENCE = 10.0
# Later on, in a log of hours.
_SECONDS_BETWEEN_LINES = 30.0
_SECONDS_OF_MANY_LINES = 60.0
_MOST_NAMES = 6
_LONGEST_NAME = 40
_LONGEST_HINT = 200


class Progress:
    """Tells a person at a terminal, or a log, what the run is doing.

    Args:
        console: where to write; a bar is drawn only if it is a terminal.
    """

    def __init__(self, console: Console) -> None:
        self.attempt = Attempt()
        """What is known of the run so far."""
        self._console = console
        self._bar: Bar | None = None
        self._total = 0
        self._doing: tuple[str, str] | None = None
        self._since = self._began = self._told = time.monotonic()
        self._any_rows = False

    @contextlib.contextmanager
    def telling(self) -> Iterator[None]:
        """Tell in the block, a few seconds apart, what the run is still doing where nothing else is told."""
        over = threading.Event()

        def beat() -> None:
            while not over.wait(1.0):
                doing, now = self._doing, time.monotonic()
                if doing and now - self._told >= _SECONDS_OF_SILENCE:
                    self._say(doing[0], f"still {doing[1]}, {duration(now - self._since)} so far")

        teller = threading.Thread(target=beat, name="progress", daemon=True)
        teller.start()
        try:
            yield
        finally:
            over.set()
            teller.join()

    def phase(self, doing: str, topic: str = "start") -> None:
        """Say what begins, such as "connecting to Ray"."""
        self._doing, self._since = (topic, doing), time.monotonic()
        self._say(topic, doing)

    def planned(self, plan: Plan) -> None:
        """Say what was found and what is to be done."""
        for topic, text in described(plan):
            self._say(topic, text)

    def starting(self, plan: Plan, workers: str) -> None:
        """Say what works on it, and start counting."""
        self._say("workers", workers)
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
        """Say how many rows of this run are done; called often."""
        now = time.monotonic()
        if not rows:
            self._began = now  # the models are still loading: a rate that counts this would mislead
        elif not self._any_rows:
            self._any_rows, self._doing = True, None
            self._told = 0.0  # the first rows are told at once
        rate = rows / max(now - self._began, 1e-9)
        if self._bar:
            self._bar.update(
                self._bar.task_ids[0], completed=rows, rate=f"{rate:,.0f} rows/s" if rows else "starting"
            )
        elif rows and now - self._told >= self._seconds_between_lines(now):
            left = f", {duration((self._total - rows) / rate)} left"
            share = rows / max(self._total, 1)
            self._say("scoring", f"{rows:,} of {count(self._total, 'row')} ({share:.0%}), {rate:,.0f} rows/s{left}")

    def note(self, text: str) -> None:
        """Say what happened on the way and is no failure."""
        self._say("note", text)

    def publishing(self) -> None:
        """Say that scoring is over."""
        self.close()
        self.phase("recounting rows, moving parts into place", "publish")

    def close(self) -> None:
        """Take the bar off the terminal; may be called again."""
        if self._bar:
            self._bar.stop()
            self._bar = None

    def _seconds_between_lines(self, now: float) -> float:
        return _SECONDS_OF_SILENCE if now - self._began < _SECONDS_OF_MANY_LINES else _SECONDS_BETWEEN_LINES

    def _say(self, topic: str, text: str) -> None:
        self._told = time.monotonic()
        line = f"{topic:<8} {printable(text)}"
        self._console.print(line, highlight=False, markup=False, emoji=False, soft_wrap=True)


def described(plan: Plan) -> list[tuple[str, str]]:
    """Return what a plan amounts to as (topic, text) lines."""
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
        *(("note", f"{name} does not verify; it is set aside and made again") for name in plan.broken),
        *(("note", f"{name} is none of this job's files; it is set aside") for name in plan.strangers),
    ]


def _columns(plan: Plan) -> list[tuple[str, str]]:
    """Return which columns are scored and which are kept, and how the text is kept where it is not."""
    given = plan.settings.input
    texts = [name for name in (given.text_column, given.text_pair_column) if name]
    kept = [name for name, _ in plan.layout.kept]
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
    """Return the first of many names, and each no longer than a line of a terminal can have."""
    shown = ", ".join(shortened(name, _LONGEST_NAME) for name in names[:_MOST_NAMES])
    return shown + (f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else "")


def devices() -> str:
    """Return what this machine would compute on; a cluster has its own."""
    here = f"{count(os.cpu_count() or 1, 'CPU')} and {', '.join(gpu_names()) or 'no GPU'} here"
    address = os.environ.get("RAY_ADDRESS")
    return f"the cluster at {address}" if address not in (None, "", "local", "auto") else here
