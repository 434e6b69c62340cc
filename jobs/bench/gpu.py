"""Measure all that a GPU can show, in a few minutes: `make bench-gpu`.

Two common shapes and a small model, lengths of real reviews, bfloat16: the pipeline, our model loop, our whole job.
"""

from pathlib import Path
from typing import Annotated

import typer

from jobs.bench.comparison import JOB, Plan, cpus_here, measured, written
from jobs.bench.inputs import checked_device, checked_model, command, made_folder, texts_of
from jobs.bench.shapes import SHAPES
from pipeline_lib.errors import SettingsError

_CONTENDERS = ("pipeline, batch 1", "pipeline, batch 8", "pipeline, batch 32", "our bare loop", JOB)


def bench_gpu(  # noqa: PLR0913, PLR0917 - each option is an argument to typer
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input", help="Files, folders or globs of Parquet or CSV shards; texts are generated if not given."
        ),
    ] = None,
    text_column: Annotated[str, typer.Option(help="Their column with the text.")] = "text",
    models: Annotated[
        list[str] | None, typer.Option("--model", help=f"Checkpoints, or some of {', '.join(SHAPES)}.")
    ] = None,
    precision: Annotated[str, typer.Option(help="bfloat16, float16 or float32.")] = "bfloat16",
    rows: Annotated[int, typer.Option(min=1, help="Rows for our loop and job.")] = 100_000,
    peer_rows: Annotated[int, typer.Option(min=1, help="Rows of these for the pipeline.")] = 2_000,
    out: Annotated[Path, typer.Option(help="Folder for the figures, one folder a model.")] = Path("out/bench-gpu"),
) -> None:
    """Time each model in turn, and print its table."""
    if precision == "int8":
        raise SettingsError("--precision: int8 is computed on CPUs only; python -m jobs.bench measures it there")
    for model in models or list(SHAPES):
        checked_model(model, precision)
    made_folder(out)
    texts = texts_of(rows, inputs, text_column)
    for model in models or list(SHAPES):
        plan = Plan(
            model=model,
            precision=precision,
            engine="auto",
            cpus=cpus_here(),
            device=checked_device("auto"),
            rows=rows,
            peer_rows=min(peer_rows, rows),
            rounds=1,
            only=_CONTENDERS,
        )
        print(f"## {model}\n\n{written(measured(plan, texts), out / Path(model).name)}", flush=True)


if __name__ == "__main__":
    command(bench_gpu)
