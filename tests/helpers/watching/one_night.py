"""One night of two rows, run in this process, for the tests of its state."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
from rich.console import Console

from pipeline_lib import pipeline
from pipeline_lib.errors import NightscoreError
from pipeline_lib.execution.local_executor import LocalExecutor
from pipeline_lib.nights.night import Night
from pipeline_lib.nights.status import nights_status
from pipeline_lib.reporting.terminal.progress import Progress
from pipeline_lib.settings.settings import Settings
from tests.conftest import write_parquet

FIRST = dt.date(2026, 11, 22)
RANGE = ("--from", "2026-11-22", "--to", "2026-11-22")


def shard(tmp_path: Path, name: str = "a", texts: tuple[str | None, ...] = ("one", "two")) -> Path:
    """Write a shard of the night."""
    path = tmp_path / "in" / FIRST.isoformat() / f"{name}.parquet"
    return write_parquet(path, {"id": range(len(texts)), "text": pa.array(texts, pa.string())})


def run(settings: Settings, **options: Any) -> int:
    """Run the night; return the exit code."""
    try:
        pipeline.run(settings, FIRST, Progress(Console(quiet=True)), LocalExecutor(), **options)
    except NightscoreError as error:
        return error.exit_code
    return 0


def night(settings: Settings) -> Night:
    """Return what the night's state is."""
    (found,) = nights_status(settings, [FIRST], dt.datetime.now(dt.UTC))
    return found


def record_of(tmp_path: Path) -> Path:
    """Return the newest record of the night."""
    return max((tmp_path / "out" / f"ds={FIRST}" / "_runs").iterdir())


def change_record(tmp_path: Path, **fields: Any) -> None:
    """Overwrite fields of the newest record."""
    path = record_of(tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
