"""Measure what grows with the input and with the cluster: planning, reading, and feeding many machines.

python -m jobs.bench.scale --what plan --shards 1000 --shards 10000
python -m jobs.bench.scale --what read --shard-rows 1000000
python -m jobs.bench.scale --what nodes --nodes 1 --nodes 4

Plans are made for real shards, each size in its own process. The machines of a cluster are simulated on this one:
only the computing of their GPUs; see `nodes.py`.
"""

import dataclasses
import json
import subprocess
import sys
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from jobs.bench.inputs import checked_model, command, made_folder
from jobs.bench.processes import machine, timed, why_failed
from jobs.bench.scale.nodes import Task
from jobs.bench.scale.planning import write_shards
from jobs.bench.scale.reading import read_costs
from pipeline_lib.errors import FaultError
from pipeline_lib.messages import size

_ROWS = 10
_MANY_ROWS = 10_000
_PLAN_COLUMNS = (
    "shards",
    "rows",
    "slices",
    "seconds",
    "ms/shard",
    "memory",
    "KiB/shard",
    "with all slices",
    "sent",
)
_READ_COLUMNS = ("format", "rows", "MB", "planned in", "bytes read", "read in", "rows/s", "bytes read")
_NODE_COLUMNS = ("machines", "slices", "seconds", "ideal", "slices/s", "efficiency", "GPUs busy", "memory")


class What(StrEnum):
    """What is measured."""

    PLAN = "plan"
    READ = "read"
    NODES = "nodes"
    ALL = "all"


def scale(  # noqa: PLR0913, PLR0917 - each option is an argument to typer
    what: Annotated[What, typer.Option(help="What to measure.")] = What.ALL,
    shards: Annotated[list[int] | None, typer.Option(min=1, help="Sizes of an input to plan.")] = None,
    nodes: Annotated[list[int] | None, typer.Option(min=1, help="Sizes of a cluster.")] = None,
    shard_rows: Annotated[int, typer.Option(min=1, help="Rows of a large shard to read.")] = 1_000_000,
    slices: Annotated[int, typer.Option(min=1, help="Slices per machine.")] = 24,
    rows: Annotated[int, typer.Option(min=1, help="Rows of these slices.")] = 64,
    seconds: Annotated[float, typer.Option(min=0, help="Seconds that a simulated GPU needs for a slice.")] = 2.0,
    model: Annotated[Path, typer.Option(help="Checkpoint folder.")] = Path("configs/sample/model"),
    out: Annotated[Path, typer.Option(help="Folder for scale.json and scale.md.")] = Path("out/bench"),
) -> None:
    """Measure, print a table of each, and write them with all figures as JSON."""
    folder = str(model.resolve())
    checked_model(folder, "float32")
    made_folder(out)
    figures: dict[str, Any] = {"machine": machine()}
    if what in {What.PLAN, What.ALL}:
        sizes = sorted(shards or [1_000, 10_000, 100_000])
        figures["plans"] = [_plan(count, _ROWS, folder) for count in sizes] + [_plan(sizes[-1], _MANY_ROWS, folder)]
    if what in {What.READ, What.ALL}:
        print(f"reading shards of {shard_rows:,} rows ...", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory() as home:
            figures["reads"] = list(read_costs(Path(home), shard_rows))
    if what in {What.NODES, What.ALL}:
        tasks = [Task(count, slices, rows, seconds, folder, home="") for count in nodes or [1, 2, 4, 8, 16]]
        figures["nodes"] = [_nodes(task) for task in tasks]
    table = tables(figures)
    (out / "scale.json").write_text(json.dumps(figures, indent=1) + "\n")
    (out / "scale.md").write_text(table)
    print(table)


def _plan(shards: int, rows: int, model: str) -> dict[str, Any]:
    print(f"planning {shards:,} shards of {rows:,} rows ...", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as home:
        write_shards(Path(home, "in"), shards, rows)
        return _child("jobs.bench.scale.planning", [f"{home}/in", model], Path(home))


def _nodes(task: Task) -> dict[str, Any]:
    print(f"running on {task.nodes} simulated machines ...", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="ns") as home:
        complete = dataclasses.replace(task, home=home)
        (Path(home) / "task.json").write_text(json.dumps(dataclasses.asdict(complete)))
        return {
            **_child("jobs.bench.scale.nodes", [f"{home}/task.json"], Path(home)),
            "task": dataclasses.asdict(task),
        }


def _child(module: str, arguments: list[str], home: Path) -> dict[str, Any]:
    """Run one of our programs; return the figures that it writes, and the memory of it and its children."""
    path = home / "figures.json"
    try:
        _, peak = timed([sys.executable, "-m", module, *arguments, str(path)])
    except subprocess.CalledProcessError as error:
        raise FaultError(f"{module}: {why_failed(error)}") from None
    return {**json.loads(path.read_text()), "family_peak_bytes": peak}


def tables(figures: dict[str, Any]) -> str:
    """Return the figures as Markdown tables, with a paragraph about the machine."""
    here = figures["machine"]
    parts = []
    if "plans" in figures:
        parts.append(_table(_PLAN_COLUMNS, [_plan_cells(entry) for entry in figures["plans"]]))
    if "reads" in figures:
        parts.append(_table(_READ_COLUMNS, [_read_cells(entry) for entry in figures["reads"]]))
    if "nodes" in figures:
        parts.append(_table(_NODE_COLUMNS, [_node_cells(entry) for entry in figures["nodes"]]))
    return "\n".join(parts) + (
        f"\n{here['cpu']}, {here['cores']} cores, {here['memory_gib']} GiB. The memory of a plan is what the "
        "driver grew by; sent is what each worker gets of it. Machines are simulated: a GPU sleeps for each slice, "
        "all else is real. Their seconds are from the first slice's start on a GPU to the last one's end; their "
        "memory is that of all processes, what they share counted for each.\n"
    )


def _table(columns: tuple[str, ...], rows: list[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _plan_cells(entry: dict[str, Any]) -> list[str]:
    shards = entry["shards"]
    return [
        f"{shards:,}",
        f"{entry['rows']:,}",
        f"{entry['slices']:,}",
        f"{entry['seconds']:.1f}",
        f"{entry['seconds'] / shards * 1e3:.2f}",
        size(entry["peak_bytes"]),
        f"{entry['peak_bytes'] / shards / 1024:.2f}",
        size(entry["peak_bytes"] + entry["slices_bytes"]),
        size(entry["sent_bytes"]),
    ]


def _read_cells(entry: dict[str, Any]) -> list[str]:
    return [
        entry["format"],
        f"{entry['rows']:,}",
        f"{entry['bytes'] / 1e6:,.0f}",
        f"{entry['plan_seconds']:.2f} s",
        f"{entry['plan_bytes'] / entry['bytes']:.2f} times",
        f"{entry['read_seconds']:.2f} s",
        f"{entry['rows'] / entry['read_seconds']:,.0f}",
        f"{entry['read_bytes'] / entry['bytes']:.2f} times",
    ]


def _node_cells(entry: dict[str, Any]) -> list[str]:
    return [
        f"{entry['nodes']:,}",
        f"{entry['slices']:,}",
        f"{entry['seconds']:.1f}",
        f"{entry['ideal_seconds']:.1f}",
        f"{entry['slices'] / entry['seconds']:.2f}",
        f"{entry['ideal_seconds'] / entry['seconds']:.0%}",
        f"{entry['busy']['model']:.0%}",
        size(entry["family_peak_bytes"]),
    ]


if __name__ == "__main__":
    command(scale)
