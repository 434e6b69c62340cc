"""Processes of runs: find them, kill them, and see which survive."""

import contextlib
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil


def process_tree(pid: int) -> list[psutil.Process]:
    """Return a process and all below it."""
    try:
        driver = psutil.Process(pid)
        return [driver, *driver.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def workers(pid: int, of: str) -> list[psutil.Process]:
    """Return the processes below a driver whose title names some class or program."""
    return [process for process in process_tree(pid)[1:] if any(of in word for word in _title(process))]


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


def survivors(processes: list[psutil.Process], seconds: float) -> Iterator[psutil.Process]:
    """Wait for processes to end; yield those that did not."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and any(map(_lives, processes)):
        time.sleep(0.1)
    yield from filter(_lives, processes)


def wait_for_handler(pid: int, number: signal.Signals, seconds: float = 60) -> None:
    """Wait until a process handles a signal, which it does once the interpreter has loaded its first modules."""
    deadline = time.monotonic() + seconds
    while not _caught(pid) >> (number - 1) & 1:
        assert time.monotonic() < deadline, f"process {pid} does not handle {number.name}"
        time.sleep(0.01)


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
    assert list(survivors(named, 10)) == []
    shutil.rmtree(folder, ignore_errors=True)


def _caught(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("SigCgt:")).split()[1], 16)


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
