"""Run the whole job on a cluster of simulated machines; `python -m jobs.bench.scale` starts it.

python -m jobs.bench.scale.nodes <task, JSON> <file for the figures, JSON>

Only the GPU is simulated: the model's step sleeps for a fixed time per slice instead of computing, because the rest
of a cluster notices nothing else of a busy GPU. So one machine can show what sixteen machines wait for. All else is
real: each machine is a raylet with its agents and worker processes, and the plan, the reader, the tokenizer, Ray
Data, the writer and the publisher are the job's own.
"""

import json
import os
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from pipeline_lib.execution.worker import Worker
    from pipeline_lib.inputs.shards import Slice
    from pipeline_lib.planning.plan import Plan

_SECONDS_TO_START = 400.0
_ROW_GROUP = 1_000_000
# Room for a model, a writer and a tokenizer, as on the smallest machine with a GPU.
_NODE = {"num_cpus": 3, "num_gpus": 1, "object_store_memory": 128 << 20}


@dataclass(frozen=True)
class Task:
    """One size of a cluster."""

    nodes: int
    slices: int
    """Per machine."""
    rows: int
    """Per slice."""
    seconds: float
    """That a GPU takes for a slice."""
    model: str
    home: str
    """An empty folder; its path must be short, since Ray keeps sockets there."""


def measured(task: Task) -> dict[str, Any]:
    """Start the cluster, run the job, and return its figures."""
    home = Path(task.home)
    # Other programs with Ray on this machine must not find this cluster.
    os.environ |= {"RAY_TMPDIR": str(home), "RAY_BACKEND_LOG_LEVEL": "fatal"}
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        for _ in range(task.nodes):
            cluster.add_node(wait=False, **_NODE)
        cluster.wait_for_nodes(timeout=_SECONDS_TO_START)
        os.environ["RAY_ADDRESS"] = cluster.address
        return _run(task, home)
    finally:
        cluster.shutdown()


def _run(task: Task, home: Path) -> dict[str, Any]:
    from rich.console import Console

    from pipeline_lib import pipeline
    from pipeline_lib.execution.ray_executor import RayExecutor
    from pipeline_lib.execution.steps import Steps
    from pipeline_lib.reporting.terminal.progress import Progress
    from pipeline_lib.settings.settings_file import parse_settings

    write_input(task, home / "in")
    (home / "spans").mkdir()
    settings = {
        "model": {"name": task.model},
        "input": {"path": str(home / "in")},
        "output": {"path": str(home / "out")},
        "tuning": {"rows_per_slice": task.rows, "tokenizer_actors": -(-task.nodes // 4)},
    }
    executor = RayExecutor(Steps(classify=partial(Sleep, task)))
    outcome = pipeline.run(parse_settings(settings), None, Progress(Console(stderr=True)), executor)
    spans = [json.loads(line) for path in (home / "spans").iterdir() for line in path.read_text().splitlines()]
    slices = task.nodes * task.slices
    if len(spans) != slices or outcome.scored != slices * task.rows:
        raise SystemExit(f"{len(spans)} slices were scored instead of {slices}: {outcome.closing_line()}")
    return {
        "nodes": task.nodes,
        "slices": slices,
        "seconds": max(end for _, end in spans) - min(began for began, _ in spans),
        "ideal_seconds": task.slices * task.seconds,
        "scoring_seconds": outcome.scoring_seconds,
        "whole_seconds": outcome.seconds,
        "busy": outcome.busy,
        "manifest_bytes": (home / "out" / "_manifest.json").stat().st_size,
    }


def write_input(task: Task, folder: Path) -> None:
    """Write a shard of reviews for each machine."""
    from jobs.sample.author import Author

    folder.mkdir()
    author, rows = Author(11, 0.0), task.slices * task.rows
    schema = pa.schema({"text": pa.string()})
    for number in range(task.nodes):
        with pq.ParquetWriter(folder / f"{number:03}.parquet", schema) as shard:
            for start in range(number * rows, (number + 1) * rows, _ROW_GROUP):
                texts = author.write(start, min(start + _ROW_GROUP, (number + 1) * rows)).column("text")
                shard.write_table(pa.table({"text": texts}), row_group_size=_ROW_GROUP)


class Sleep:
    """A step that sleeps instead of the model. All machines start together, as if every model was loaded."""

    def __init__(self, task: Task, plan: "Plan", worker: "Worker") -> None:
        self._task, self._label, self._monitor = task, plan.checkpoint.labels[0], worker.monitor
        self._notes = Path(task.home, "spans", worker.name)
        self._notes.touch()
        deadline = time.monotonic() + _SECONDS_TO_START
        while len(list(self._notes.parent.iterdir())) < task.nodes:
            if time.monotonic() > deadline:
                raise TimeoutError("not every machine got its model")
            time.sleep(0.2)

    def __call__(self, part: "Slice", table: pa.Table) -> pa.Table:
        """Return the slice with one label and score for all rows."""
        from pipeline_lib.inputs import columns

        began = time.time()
        with self._monitor.working("model", part):
            time.sleep(self._task.seconds)
            table = columns.without(table, [columns.TOKEN_IDS, columns.TYPE_IDS])
            table = table.append_column(columns.LABEL, pa.repeat(self._label, part.rows))
            table = table.append_column(columns.SCORE, pa.repeat(0.5, part.rows))
        with self._notes.open("a") as notes:
            notes.write(f"[{began}, {time.time()}]\n")
        self._monitor.scored(part, part.rows)
        return table


if __name__ == "__main__":
    figures = measured(Task(**json.loads(Path(sys.argv[1]).read_text())))
    Path(sys.argv[2]).write_text(json.dumps(figures))
