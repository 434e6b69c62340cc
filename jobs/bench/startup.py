"""Measure the start-up: an empty Ray Data job, and our job with the embedded sample.

`python -m jobs.bench.startup OUT` is the empty job: it has an actor for each CPU, and writes its rows unchanged.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

from jobs.bench.processes import timed

_SAMPLE = "configs/sample.yaml"
_ROWS = 2000


class _Nothing:
    """A step that does nothing."""

    def __call__(self, batch: object) -> object:
        return batch


def startup(home: Path) -> dict[str, float]:
    """Return seconds since the start of a program.

    `empty`: until the end of the empty job. Of our job: `first` until the first slice is written, `published` until
    readers see all rows of the sample, `ended` until the end of the program.

    Args:
        home: a folder to write in.
    """
    empty, _ = timed([sys.executable, "-m", "jobs.bench.startup", str(home / "empty")])
    out = home / "sample"
    began = time.perf_counter()
    command = [sys.executable, "-m", "jobs.score", "run", _SAMPLE, "--set", f"output.path={out}"]
    times = {"empty": empty}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as job:  # noqa: S603 - ours
        for name, pattern in (("first", "_staging/*/part-*.json"), ("published", "_SUCCESS")):
            while job.poll() is None and not any(out.glob(pattern)):
                time.sleep(0.02)
            times[name] = time.perf_counter() - began
    return {**times, "ended": time.perf_counter() - began}


def main() -> None:
    """Run the empty job."""
    import ray
    import ray.data

    ray.init("local", include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    ray.data.DataContext.get_current().enable_progress_bars = False
    actors = ray.data.ActorPoolStrategy(size=len(os.sched_getaffinity(0)))
    ray.data.range(_ROWS).map_batches(_Nothing, compute=actors).write_parquet(sys.argv[1])


if __name__ == "__main__":
    main()
