"""Compare the speed of the job and of its alternatives: same rows, same checkpoint, same cores, in turn."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from jobs.bench.contenders.task import ROWS_PER_SLICE_ON_GPU, Task
from jobs.bench.inputs import made_folder
from jobs.bench.presentation import chart, tables
from jobs.bench.processes import machine, timed, why_failed
from jobs.bench.report import Round, summed_up
from jobs.bench.shapes import SHAPES, build
from pipeline_lib.errors import FaultError

JOB = "our whole job"
_SHARDS = 4


@dataclass(frozen=True)
class Plan:
    """What is timed, on what."""

    model: str
    precision: str
    engine: str
    cpus: int
    device: str
    rows: int
    peer_rows: int
    rounds: int
    only: tuple[str, ...]

    @property
    def is_calibrated(self) -> bool:
        """Whether our model needs further texts, on which its int8 is calibrated."""
        return self.precision == "int8"


def measured(plan: Plan, texts: Sequence[str]) -> dict[str, Any]:
    """Run every contender in each round, and return all figures.

    Args:
        plan: what is timed; a model that is a key of `SHAPES` is made.
        texts: as many as the plan says, and those for it more where it is calibrated.
    """
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        if plan.model in SHAPES:
            plan = dataclasses.replace(plan, model=str(build(plan.model, home / plan.model)))
        _write_rows(plan, texts, home)
        rounds = [
            turn for number in range(plan.rounds) for name in plan.only for turn in _turn(plan, name, number, home)
        ]
        if not rounds:
            raise FaultError("all contenders failed; their messages are above")
        return summed_up(rounds, dataclasses.asdict(plan), home, machine())


def written(figures: dict[str, Any], out: Path) -> str:
    """Write figures, table and chart into a folder; return the table."""
    made_folder(out)
    table = tables(figures)
    (out / "bench.json").write_text(json.dumps(figures, indent=1) + "\n")
    (out / "bench.md").write_text(table)
    chart(figures, out / "bench.svg")
    return table


def _write_rows(plan: Plan, texts: Sequence[str], home: Path) -> None:
    """Write the rows for our job as shards, and for the peers as one file, or as an even share of them."""
    if plan.is_calibrated:
        pq.write_table(pa.table({"text": texts[plan.rows :]}), _calibration(plan, home))
        texts = texts[: plan.rows]
    table = pa.table({"at": range(len(texts)), "text": texts})
    (home / "in").mkdir()
    size = -(-len(texts) // _SHARDS)
    for number in range(_SHARDS):
        pq.write_table(table.slice(number * size, size), home / "in" / f"{number}.parquet")
    step = max(len(texts) // plan.peer_rows, 1)
    pq.write_table(table, home / "all.parquet")
    pq.write_table(table.take(pa.array(range(0, len(texts), step))), home / "peers.parquet")


def _calibration(plan: Plan, home: Path) -> str | None:
    return str(home / "calibration.parquet") if plan.is_calibrated else None


def _turn(plan: Plan, name: str, number: int, home: Path) -> list[Round]:
    """Run one contender once; if it fails, print why and return nothing."""
    print(f"round {number + 1} of {plan.rounds}: {name} ...", end=" ", file=sys.stderr, flush=True)
    ours = name in (JOB, "our bare loop")
    texts = home / ("all.parquet" if ours else "peers.parquet")
    answers = home / f"{name} {number}.parquet"
    try:
        if name == JOB:
            seconds, peak, loop = _job(plan, home, answers)
        else:
            seconds, peak, loop = _contender(plan, name, texts, answers, home)
    except subprocess.CalledProcessError as error:
        print(f"failed: {why_failed(error)}", file=sys.stderr)
        return []
    rows = pq.read_metadata(texts).num_rows
    print(f"{rows / seconds:,.0f} rows/s, {rows / loop:,.0f} without start-up", file=sys.stderr)
    return [Round(name, number, rows, seconds, loop, peak, str(answers))]


def _contender(plan: Plan, name: str, texts: Path, answers: Path, home: Path) -> tuple[float, int, float]:
    task = Task(
        texts=str(texts),
        model=plan.model,
        precision=plan.precision,
        engine=plan.engine,
        cpus=plan.cpus,
        device=plan.device,
        answers=str(answers),
        calibration=_calibration(plan, home),
    )
    path = home / "task.json"
    path.write_text(json.dumps(dataclasses.asdict(task)))
    seconds, peak = timed([sys.executable, "-m", "jobs.bench.contenders", name, str(path)])
    timed_by_itself = json.loads(path.with_suffix(".timed.json").read_text())
    return seconds, peak, float(timed_by_itself["loop_seconds"])


def _job(plan: Plan, home: Path, answers: Path) -> tuple[float, int, float]:
    out = home / "out"
    shutil.rmtree(out, ignore_errors=True)
    settings = {
        "model": {
            "name": plan.model,
            "precision": plan.precision,
            "engine": plan.engine,
            "calibration": _calibration(plan, home),
        },
        "input": {"path": str(home / "in")},
        "output": {"path": str(out)},
        "limits": {"max_reject_rate": 1.0, "max_precision_drift": 1.0, "max_precision_flips": 1.0},
        "tuning": {"rows_per_slice": ROWS_PER_SLICE_ON_GPU}
        if plan.device == "cuda"
        else {"gpus_per_model_actor": 0, "model_actors": plan.cpus},
    }
    (home / "job.yaml").write_text(yaml.safe_dump(settings))
    seconds, peak = timed([sys.executable, "-m", "jobs.score", "run", str(home / "job.yaml")])
    scored = pq.read_table(out, columns=["at", "label", "score"])
    pq.write_table(scored, answers)
    metrics = json.loads((out / "_metrics.json").read_text())
    shutil.copy(out / "_metrics.json", home / f"{answers.stem}.metrics.json")
    return seconds, peak, float(metrics["scoring_seconds"])


def cpus_here() -> int:
    """Return the CPUs that this process may use."""
    return len(os.sched_getaffinity(0))
