"""The options of the benchmark.

python -m jobs.bench --input reviews/ --model my/checkpoint --rows 20000
"""

import importlib.util
import os
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from jobs.bench.comparison import JOB, Plan, cpus_here, measured, written
from jobs.bench.contenders.names import CONTENDERS, NEEDS
from jobs.bench.inputs import checked_device, checked_model, command, made_folder, texts_of
from jobs.bench.shapes import SHAPES
from jobs.bench.startup import startup
from pipeline_lib.engines.inspection.calibration import TEXTS


def bench(  # noqa: PLR0913, PLR0917 - each option is an argument to typer
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            help="Files, folders or globs of Parquet or CSV shards; texts are generated if not given.",
        ),
    ] = None,
    text_column: Annotated[str, typer.Option(help="Their column with the text.")] = "text",
    model: Annotated[
        str, typer.Option(help=f"Checkpoint folder, hub id, or {', '.join(SHAPES)} with random weights.")
    ] = "configs/sample/model",
    precision: Annotated[
        str, typer.Option(help="float32, bfloat16 or float16, for everyone; int8 for ours alone.")
    ] = "float32",
    engine: Annotated[str, typer.Option(help="Our engine: auto, torch or openvino.")] = "auto",
    rows: Annotated[int, typer.Option(min=1, help="Rows, drawn at random.")] = 2000,
    peer_rows: Annotated[
        int | None, typer.Option(min=1, help="Rows of these that the slow peers get; all if not given.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="How often each has its turn.")] = 1,
    only: Annotated[list[str] | None, typer.Option(help="Contenders; all that are installed if not given.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "auto",
    cpus: Annotated[int | None, typer.Option(min=1, help="CPUs; all of this process's if not given.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for bench.json, bench.md and bench.svg.")] = Path("out/bench"),
) -> None:
    """Measure all contenders in turn; print a table, and write it with a chart and all figures as JSON."""
    known = [*CONTENDERS, JOB]
    unknown = sorted(set(only or []) - set(known))
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r} is none of {', '.join(map(repr, known))}", param_hint="--only")
    checked_model(model, precision, engine)
    made_folder(out)
    plan = Plan(
        model=os.path.abspath(model) if os.path.isdir(model) else model,
        precision=precision,
        engine=engine,
        cpus=cpus or cpus_here(),
        device=checked_device(device),
        rows=rows,
        peer_rows=min(peer_rows or rows, rows),
        rounds=rounds,
        only=tuple(only or [name for name in known if importlib.util.find_spec(NEEDS.get(name, "json"))]),
    )
    more = TEXTS if plan.is_calibrated else 0
    figures = measured(plan, texts_of(rows + more, inputs, text_column))
    if JOB in plan.only:
        with tempfile.TemporaryDirectory() as folder:
            figures["startup"] = startup(Path(folder))
    print(written(figures, out))


if __name__ == "__main__":
    command(bench)
