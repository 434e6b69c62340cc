"""Ways to end a run without warning, in processes that may be killed."""

import multiprocessing
import os
import signal
from pathlib import Path

from rich.console import Console

from pipeline_lib import pipeline
from pipeline_lib.errors import NightscoreError
from pipeline_lib.execution.ray_executor import RayExecutor
from pipeline_lib.machine import failpoints
from pipeline_lib.reporting.terminal.progress import Progress
from pipeline_lib.settings.settings import Settings
from pipeline_lib.storage.lease import leased

_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["tests.helpers.crashes", "torch", "transformers.models.bert.modeling_bert"])


def run_in_process(
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


def crash_holding_a_lease(output: str) -> None:
    """Take a lease in a process that is killed before it can give it back."""
    process = _PROCESSES.Process(target=_crash_holding, args=(output,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def _crash_holding(output: str) -> None:
    with leased(output):
        os.kill(os.getpid(), signal.SIGKILL)
