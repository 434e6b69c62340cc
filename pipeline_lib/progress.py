"""What a run tells while it works: a bar on a terminal, a plain line now and then in a log."""

import time

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from pipeline_lib.plan import Plan
from pipeline_lib.resources import Allotment
from pipeline_lib.words import count, duration

_SECONDS_BETWEEN_LINES = 30.0


class Progress:
    """Tells a person at a terminal, or a log, what the run is doing.

    Args:
        console: where to write; a bar is drawn only if it is a terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Bar | None = None
        self._total = 0
        self._began = self._told = time.monotonic()

    def planned(self, plan: Plan) -> None:
        """Say what was found and what is to be done."""
        for topic, text in described(plan):
            self._say(topic, text)

    def starting(self, plan: Plan, allotment: Allotment) -> None:
        """Say what works on it, and start counting."""
        beside = "" if allotment.together else f", {count(allotment.tokenizer_actors, 'tokenizer')}"
        self._say(
            "workers", f"{count(allotment.model_actors, 'model actor')}{beside}, on {allotment.device.upper()}"
        )
        self._total = sum(part.rows for part in plan.todo)
        self._began = self._told = time.monotonic()
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
        rate = rows / max(now - self._began, 1e-9)
        if self._bar:
            self._bar.update(
                self._bar.task_ids[0], completed=rows, rate=f"{rate:,.0f} rows/s" if rows else "starting"
            )
        elif now - self._told >= _SECONDS_BETWEEN_LINES:
            self._told = now
            left = f", {duration((self._total - rows) / rate)} left" if rows else ""
            share = rows / max(self._total, 1)
            self._say("scoring", f"{rows:,} of {count(self._total, 'row')} ({share:.0%}), {rate:,.0f} rows/s{left}")

    def note(self, text: str) -> None:
        """Say what happened on the way and is no failure."""
        self._say("note", text)

    def publishing(self) -> None:
        """Say that scoring is over."""
        self.close()
        self._say("publish", "recounting rows, moving parts into place")

    def close(self) -> None:
        """Take the bar off the terminal; may be called again."""
        if self._bar:
            self._bar.stop()
            self._bar = None

    def _say(self, topic: str, text: str) -> None:
        self._console.print(f"{topic:<8} {text}", highlight=False, markup=False, soft_wrap=True)


def described(plan: Plan) -> list[tuple[str, str]]:
    """Return what a plan amounts to as (topic, text) lines."""
    model, settings = plan.checkpoint, plan.settings
    slices, done = plan.slices, plan.slices - len(plan.todo)
    reused = f", {done:,} already scored" if done else ""
    limit = f"{model.max_tokens:,} tokens" if model.max_tokens else "texts of any length"
    labels = " ".join(model.labels[:6]) + (" ..." if len(model.labels) > 6 else "")
    how = f"{settings.model.precision} by {model.engine}"
    commit = f" at {model.commit[:12]}" if model.commit else ""
    return [
        (
            "input",
            f"{count(len(plan.shards), 'shard')}, {count(plan.rows, 'row')}, {count(slices, 'slice')}{reused}",
        ),
        ("model", f"{model.name}{commit} ({model.architecture}), {how}, up to {limit}"),
        ("labels", f"{labels} ({model.activation})"),
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


def devices() -> str:
    """Return what this machine would compute on; a cluster has its own."""
    import os

    import torch

    cards = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    here = f"{count(os.cpu_count() or 1, 'CPU')} and {', '.join(cards) or 'no GPU'} here"
    address = os.environ.get("RAY_ADDRESS")
    return f"the cluster at {address}" if address not in (None, "", "local", "auto") else here
