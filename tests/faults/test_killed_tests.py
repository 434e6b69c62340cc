"""A test run that is killed leaves neither its S3 server nor its Ray behind."""

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import psutil
import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.slow

_TEST = """
import time
from pathlib import Path

def test_that_waits(s3_server, one_ray):
    import ray
    assert ray.get(ray.remote(lambda: 1).remote()) == 1
    Path(__file__).with_name("running").touch()
    time.sleep(200)
"""
_MARK = "NIGHTSCORE_TEST_MARK"


def _marked(mark: str) -> list[str]:
    """Return the command lines of the processes that inherited a mark."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(_MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


@pytest.mark.parametrize("workers", [0, 2], ids=["one process", "two workers"])
def test_a_killed_test_run_leaves_no_process(workers: int, tmp_path: Path) -> None:
    (tmp_path / "test_waits.py").write_text(_TEST)
    mark = uuid.uuid4().hex
    environment = {**os.environ, _MARK: mark, "PYTHONPATH": str(ROOT)}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.conftest",
        "-p",
        "no:cacheprovider",
        "-n",
        str(workers),
        "--rootdir",
        str(tmp_path),
    ]
    with subprocess.Popen([*command, str(tmp_path)], env=environment, stdout=subprocess.DEVNULL) as run:
        try:
            while not (tmp_path / "running").exists():
                assert run.poll() is None, "the test run ended before it was killed"
                time.sleep(0.1)
            assert any("moto_server" in line for line in _marked(mark))
            assert any("raylet" in line for line in _marked(mark))
        finally:
            run.send_signal(signal.SIGKILL)
    until = time.monotonic() + 60
    while (left := _marked(mark)) and time.monotonic() < until:
        time.sleep(0.2)
    assert not left
