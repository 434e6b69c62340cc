"""Several nights of input in one folder, for the commands that work on many nights."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import write_parquet
from tests.helpers.watching.published import published_hashes

FIRST = dt.date(2026, 11, 1)


def night(number: int) -> dt.date:
    """Return the date of a night, counted from 0."""
    return FIRST + dt.timedelta(days=number)


def write_night(folder: Path, number: int, rows: int = 20) -> Path:
    """Write the shard of a night, in `in/<date>`, with texts of its own."""
    texts = [f"night {number} text {row % 7}" for row in range(rows)]
    return write_parquet(folder / "in" / f"{night(number)}" / "a.parquet", {"id": range(rows), "text": texts})


def damage(shard: Path) -> None:
    """Change bytes of the rows of a shard, so that only who reads them sees that it is damaged."""
    content = bytearray(shard.read_bytes())
    content[4:200] = bytes(196)
    shard.write_bytes(bytes(content))


def nightly(folder: Path, checkpoint: Path, **tuning: Any) -> Path:
    """Write a settings file for the nights of a folder; the outputs are `out/<date>`."""
    sections = {
        "model": {"name": str(checkpoint)},
        "input": {"path": f"{folder}/in/{{date}}"},
        "output": {"path": f"{folder}/out/{{date}}"},
        "tuning": {"model_actors": 1, "rows_per_slice": 8, **tuning},
    }
    path = folder / "nightly.yaml"
    path.write_text(yaml.safe_dump(sections))
    return path


def span(nights: int) -> tuple[str, ...]:
    """Return the options that mean the first nights."""
    return "--from", f"{night(0)}", "--to", f"{night(nights - 1)}"


def records(folder: Path, number: int) -> list[dict[str, Any]]:
    """Return the records of the runs of a night, the newest last."""
    paths = sorted((folder / "out" / f"{night(number)}" / "_runs").glob("*.json"))
    return [json.loads(path.read_text()) for path in paths]


def published_nights(folder: Path) -> dict[str, dict[str, str]]:
    """Return the hashes of what is published, by the date of the night."""
    nights = (path for path in sorted((folder / "out").iterdir()) if (path / "_SUCCESS").exists())
    return {path.name: published_hashes(path) for path in nights}
