"""Ways to end a run without warning, and to tell whether readers ever saw less than a whole version."""

import contextlib
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from pipeline_lib import pipeline
from pipeline_lib.errors import NightscoreError
from pipeline_lib.execution.ray_executor import RayExecutor
from pipeline_lib.machine import failpoints
from pipeline_lib.reporting.progress import Progress
from pipeline_lib.settings.settings import Settings
from pipeline_lib.storage.lease import leased

_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["tests.helpers.killing", "torch", "transformers.models.bert.modeling_bert"])


def run_apart(
    settings: Settings, *, replace: bool = False, crash_at: str | None = None, folder: Path
) -> int | None:
    """Run the job in a process of its own; return its exit code, or minus the number of the signal that ended it.

    Args:
        settings: of the job.
        replace: as for `run --replace`.
        crash_at: a point at which the process is killed.
        folder: an empty one, for arming the point.
    """
    process = _PROCESSES.Process(target=_run, args=(settings, replace, crash_at, folder))
    process.start()
    process.join()
    return process.exitcode


def _run(settings: Settings, replace: bool, crash_at: str | None, folder: Path) -> None:
    os.environ[failpoints.FOLDER] = str(folder)
    if crash_at:
        (folder / crash_at).touch()
    try:
        pipeline.run(settings, None, Progress(Console(quiet=True)), RayExecutor(), replace=replace)
    except NightscoreError as error:
        raise SystemExit(error.exit_code) from None


def hold_a_lease_and_die(output: str) -> None:
    """Take a lease in a process that is killed before it can give it back."""
    process = _PROCESSES.Process(target=_hold_and_die, args=(output,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def _hold_and_die(output: str) -> None:
    with leased(output):
        os.kill(os.getpid(), signal.SIGKILL)


def tree(folder: Path) -> dict[str, str]:
    """Return the hash of every published file: all but records of runs, metrics, and what was set aside."""
    private = {"_runs", "_aside", "_metrics.json"}
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not private & set(path.relative_to(folder).parts)
    }


def read_whole(folder: Path) -> tuple[str, int] | None:
    """Read an output as its users are told to; return its version and rows, or None if it was not to be had.

    `_SUCCESS` is looked at before and after: what was read in between counts only if it stayed the same.
    """
    before = _success(folder)
    if before is None:
        return None
    said = json.loads(before)
    try:
        tables = [pq.read_table(path) for path in sorted(folder.glob("part-*.parquet"))]
    except (OSError, pa.ArrowException):
        if _success(folder) != before:
            return None  # moved away or over while it was read
        raise
    if _success(folder) != before:
        return None
    versions = {(table.schema.metadata or {})[b"nightscore.version"].decode() for table in tables}
    rows = sum(table.num_rows for table in tables)
    if versions != {said["version"]} or rows != said["scored"]:
        raise AssertionError(f"a mixed version: {versions} with {rows} rows, _SUCCESS says {said}")
    return said["version"], rows


def _success(folder: Path) -> bytes | None:
    try:
        return (folder / "_SUCCESS").read_bytes()
    except FileNotFoundError:
        return None


@dataclass
class Poller:
    """Reads an output again and again, in a thread, for as long as it is open."""

    folder: Path
    whole: Counter[tuple[str, int]] = field(default_factory=Counter)
    waits: int = 0
    faults: list[str] = field(default_factory=list)
    pause: float = 0.02

    def __enter__(self) -> Self:
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _poll(self) -> None:
        while not self._done.wait(self.pause):
            try:
                found = read_whole(self.folder)
            except Exception as error:  # noqa: BLE001 - whatever a reader would stumble over
                self.faults.append(f"{type(error).__name__}: {error}")
                continue
            if found:
                self.whole[found] += 1
            else:
                self.waits += 1


def family(pid: int) -> list[psutil.Process]:
    """Return a process and all below it."""
    try:
        driver = psutil.Process(pid)
        return [driver, *driver.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def workers(pid: int, of: str) -> list[psutil.Process]:
    """Return the processes below a driver whose title names some class or program."""
    return [process for process in family(pid)[1:] if any(of in word for word in _title(process))]


def kill(processes: list[psutil.Process]) -> int:
    """Kill processes at once, as the system does when memory or power is out; return how many there were."""
    killed = 0
    for process in processes:
        try:
            process.send_signal(signal.SIGKILL)
            killed += 1
        except psutil.NoSuchProcess:
            continue
    return killed


def gone_within(processes: list[psutil.Process], seconds: float) -> Iterator[psutil.Process]:
    """Wait for processes to end; yield those that did not."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and any(map(_lives, processes)):
        time.sleep(0.1)
    yield from filter(_lives, processes)


def end_ray(folder: Path) -> None:
    """End the processes of the Ray that has its sockets in a folder, and remove that."""
    # Agents and workers hide their command behind a title; they are children of the raylet.
    named = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            names = process.cmdline()
            if "ray.util.client.server" in names:  # it names no folder; its log lies there
                names += [file.path for file in process.open_files()]
            if any(str(folder) in name for name in names):
                named += [process, *process.children(recursive=True)]
    kill(named)
    assert list(gone_within(named, 10)) == []
    shutil.rmtree(folder, ignore_errors=True)


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _title(process: psutil.Process) -> list[str]:
    try:
        return [str(word) for word in process.cmdline()]
    except psutil.Error:
        return []
