"""Outputs whose files are joined of several slices, and changes of their manifests."""

import hashlib
import json
from collections.abc import Callable
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


def change_manifest(out: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the manifest of an output, and `_SUCCESS` so that it fits."""
    manifest = json.loads((out / "_manifest.json").read_text())
    change(manifest)
    content = json.dumps(manifest).encode()
    (out / "_manifest.json").write_bytes(content)
    success = json.loads((out / "_SUCCESS").read_text())
    success["manifest_sha256"] = hashlib.sha256(content).hexdigest()
    (out / "_SUCCESS").write_text(json.dumps(success))
