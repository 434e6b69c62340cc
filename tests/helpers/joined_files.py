"""Outputs whose files are joined of several slices."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from tests.conftest import write_parquet

ROWS = 38
SLICES: dict[str, Any] = {"tuning": {"rows_per_slice": 4}, "limits": {"max_reject_rate": 0.5}}
FILES = {"rows_per_file": 18}
"""Four slices of four rows have room in it; a shard has two such files, and one of the last six rows."""
NAMES = [f"part-{shard:05d}-{first:09d}.parquet" for shard in (0, 1) for first in (0, 16, 32)]
REJECTS = [f"_rejects/{NAMES[at]}" for at in (0, 1, 3, 4)]
"""The last six rows of a shard all have a text."""


def write_shard(folder: Path, name: str, rows: int = ROWS) -> None:
    """Write a shard in which every seventh row has no text."""
    texts = [None if row % 7 == 3 else f"text {row} of {name}" for row in range(rows)]
    kinds = pa.array([["red", "green", None][row % 3] for row in range(rows)]).dictionary_encode()
    columns = {"id": [f"{name}{row}" for row in range(rows)], "kind": kinds, "stars": range(rows), "text": texts}
    write_parquet(folder / "in" / f"{name}.parquet", columns)


def parts(folder: Path) -> list[str]:
    """Return the names of the parts and of the rejects."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("part-*.parquet"))
