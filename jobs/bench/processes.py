"""The time and memory of a command, and the machine that it ran on."""

import os
import platform
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from pipeline_lib.machine.terminal import printable

_QUIET = {"TOKENIZERS_PARALLELISM": "true", "HF_HUB_OFFLINE": "1", "RAY_USAGE_STATS_ENABLED": "0"}


def timed(command: list[str]) -> tuple[float, int]:
    """Run a command; return its seconds, and the most memory that it and its children had at one time."""
    import psutil  # noqa: F401 - optional: its absence must be an error here, not in the thread

    peak, over = 0, threading.Event()
    began = time.perf_counter()
    with subprocess.Popen(  # noqa: S603 - our own program
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, **_QUIET}
    ) as process:

        def watch() -> None:
            nonlocal peak
            while not over.wait(0.5):
                peak = max(peak, _resident(process.pid))

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        output, _ = process.communicate()
        over.set()
        watcher.join()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, output)
    return time.perf_counter() - began, peak


def why_failed(error: subprocess.CalledProcessError) -> str:
    """Return the last line that a failed command printed, which says why."""
    lines = str(error.output or "").strip().splitlines() or [f"ended with {error.returncode}"]
    return printable(lines[-1])


def _resident(pid: int) -> int:
    import psutil

    total = 0
    try:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for process in family:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def machine() -> dict[str, Any]:
    """Return the machine and the libraries of a measurement."""
    import psutil
    import torch

    from pipeline_lib.machine.library_versions import library_versions

    cpus = Path("/proc/cpuinfo")
    lines = cpus.read_text().splitlines() if cpus.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "libraries": library_versions(),
    }
