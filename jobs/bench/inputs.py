"""What the benchmarks are given: texts from shards as the job reads them, and mistakes told in one line."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import typer

from jobs.bench.shapes import SHAPES
from pipeline_lib.checkpoints.load_errors import quiet
from pipeline_lib.errors import InputError, NightscoreError, SettingsError
from pipeline_lib.inputs.plain_texts import plain_texts
from pipeline_lib.machine.terminal import escaped_output, printable
from pipeline_lib.settings.settings_file import parse_settings

_SEED = 11


def command(body: Callable[..., None]) -> None:
    """Run a program with the options of its command line; a user's mistake is one line and exit code 2."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command()(body)
    quiet()
    with escaped_output():
        try:
            app(standalone_mode=False)
        except NightscoreError as error:
            _fail(str(error), error.exit_code)
        except ModuleNotFoundError as error:
            _fail(f"the benchmark needs the package {error.name!r}: pip install 'nightscore[bench]'", 2)
        except Exception as error:
            # What typer raises for an option that does not fit; its class has other names in other releases.
            if not hasattr(error, "format_message"):
                raise
            _fail(error.format_message(), 2)


def _fail(message: str, code: int) -> NoReturn:
    print(f"error: {printable(message)}", file=sys.stderr)
    sys.exit(code)


def checked_model(model: str, precision: str, engine: str = "auto") -> None:
    """Check what everyone is to run.

    Raises:
        SettingsError: the precision or the engine is none.
        CheckpointError: there is no such checkpoint.
    """
    settings = parse_settings(
        {
            "model": {
                "name": model,
                "precision": precision,
                "engine": engine,
                "calibration": "-" if precision == "int8" else None,
            },
            "input": {"path": "-"},
            "output": {"path": "-"},
        },
        where="options",
    )
    if precision == "auto":
        raise SettingsError(
            "--precision: 'auto' may differ between contenders; allowed are float32, bfloat16, float16 and int8"
        )
    if model not in SHAPES:
        from pipeline_lib.checkpoints.fetching import locate

        locate(settings.model)


def made_folder(out: Path) -> None:
    """Make the output folder before measuring for hours.

    Raises:
        SettingsError: that is not possible.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"--out: can't make the folder {str(out)!r}: {error.strerror}") from None


def checked_device(device: str) -> str:
    """Return `cuda` or `cpu`, for `auto` what is here.

    Raises:
        SettingsError: the device is neither, or not here.
    """
    import torch

    here = "cuda" if torch.cuda.is_available() else "cpu"
    if device not in {"auto", "cpu", "cuda"}:
        raise SettingsError(f"--device: {device!r} is none of 'auto', 'cpu', 'cuda'")
    if device == "cuda" and here == "cpu":
        raise SettingsError("--device: PyTorch sees no GPU here; leave it out, or give 'cpu'")
    return here if device == "auto" else device


def texts_of(rows: int, inputs: Sequence[str] | None, column: str) -> list[str]:
    """Return texts drawn at random from shards, or generated ones.

    Args:
        rows: how many.
        inputs: files, folders or globs of Parquet and CSV shards, as in `input.path`.
        column: the one with the texts.

    Raises:
        InputError: there are no such shards, they have no such column, or they hold too few texts.
    """
    import numpy as np

    if not inputs:
        from jobs.sample.author import Author

        written: list[str] = Author(_SEED, 0.0).write(0, rows).column("text").to_pylist()
        return written
    given = {"path": list(inputs), "text_column": column, "keep_columns": []}
    settings = parse_settings({"model": {"name": "-"}, "input": given, "output": {"path": "-"}}, where="options")
    found = list(plain_texts(settings.input.paths, settings.input))
    if len(found) < rows:
        raise InputError(f"--rows: the input has {len(found):,} texts, {rows:,} are asked for")
    return [found[at] for at in np.random.default_rng(_SEED).permutation(len(found))[:rows]]
