"""Plan one folder of shards in a separate process; `python -m jobs.bench.scale` starts it.

python -m jobs.bench.scale.planning <folder of shards> <checkpoint> <file for the figures, JSON>
"""

import json
import os
import pickle
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline_lib.engines.inspection.inspector import inspect_checkpoint
from pipeline_lib.planning.discovery import discover
from pipeline_lib.planning.planner import make_plan
from pipeline_lib.settings.settings_file import parse_settings

_DISTINCT = 8
_ROWS_PER_SLICE = 4096
_TEXTS = ("good", "bad", "fine", "the lid jams")


def write_shards(folder: Path, shards: int, rows: int) -> None:
    """Write a few shards, and many links to them; each link is listed, opened and read like a shard of its own."""
    folder.mkdir()
    for number in range(shards):
        path = folder / f"{number:07}.parquet"
        if number < _DISTINCT:
            ids = range(number * rows, (number + 1) * rows)
            pq.write_table(pa.table({"id": ids, "text": [_TEXTS[row % len(_TEXTS)] for row in ids]}), path)
        else:
            os.link(folder / f"{number % _DISTINCT:07}.parquet", path)


def planned(folder: str, model: str) -> dict[str, Any]:
    """Return the seconds that a plan takes, and the largest growth of this process in bytes."""
    settings = parse_settings(
        {
            "model": {"name": model},
            "input": {"path": folder},
            "output": {"path": f"{folder}-out"},
            "tuning": {"rows_per_slice": _ROWS_PER_SLICE},
        }
    )
    inspect_checkpoint(settings)  # the checkpoint takes its time and its memory whatever the input is
    began = time.perf_counter()
    plan, peak = _with_peak(lambda: make_plan(discover(settings)))
    seconds = time.perf_counter() - began
    todo, more = _with_peak(lambda: plan.todo)
    return {
        "shards": len(plan.shards),
        "rows": plan.rows,
        "slices": len(todo),
        "seconds": seconds,
        "peak_bytes": peak,
        "slices_bytes": more,
        "sent_bytes": len(pickle.dumps(plan)),
    }


def _with_peak(work: Callable[[], Any]) -> tuple[Any, int]:
    """Return what the work returns, and the largest growth of this process meanwhile, in bytes."""
    import psutil

    process, over = psutil.Process(), threading.Event()
    before = peak = process.memory_info().rss

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.02):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    result = work()
    over.set()
    watcher.join()
    return result, max(peak, process.memory_info().rss) - before


if __name__ == "__main__":
    Path(sys.argv[3]).write_text(json.dumps(planned(*sys.argv[1:3])))
