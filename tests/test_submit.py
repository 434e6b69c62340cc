"""A Ray cluster on loopback, and the nightly job submitted to it from a clean clone."""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from conftest import ROOT, free_port, read_output, write_parquet

BIN = Path(sys.executable).parent


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Start a head with its job server; yield the environment in which a user would submit."""
    port, jobs = free_port(), free_port()
    home = tmp_path / "home"
    home.mkdir()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
        "HOME": str(home),
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ADDRESS": f"http://127.0.0.1:{jobs}",
        "RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{jobs}",
    }
    start: list[str | Path] = [
        BIN / "ray",
        "start",
        "--head",
        "--port",
        str(port),
        "--dashboard-port",
        str(jobs),
        "--num-cpus",
        "4",
        # By default these are fixed numbers, which another Ray on this machine may have taken.
        *("--dashboard-agent-listen-port", str(free_port())),
        *("--dashboard-agent-grpc-port", str(free_port())),
        *("--runtime-env-agent-port", str(free_port())),
        *("--metrics-export-port", str(free_port())),
    ]
    # Not the temporary folder of the test: Ray's socket names must stay short.
    folder = Path(f"/tmp/ray-{port}")  # noqa: S108
    head = {name: value for name, value in environment.items() if name != "RAY_ADDRESS"}
    subprocess.run(
        [*start, "--temp-dir", str(folder), "--include-dashboard", "true", "--disable-usage-stats"],
        env=head,
        check=True,
        capture_output=True,
        timeout=120,
    )
    try:
        _wait_for_the_job_agent(environment)
        yield environment
    finally:
        for process in psutil.process_iter(["cmdline"]):
            if any(str(folder) in word or f":{port}" in word for word in process.info["cmdline"] or ()):
                with contextlib.suppress(psutil.Error):
                    process.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for_the_job_agent(environment: dict[str, str]) -> None:
    """Return once the head takes jobs: `ray start` returns before its agent has registered."""
    deadline = time.monotonic() + 120
    while True:
        probe = subprocess.run(
            [BIN / "ray", "job", "submit", "--", "true"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if probe.returncode == 0:
            return
        assert time.monotonic() < deadline, probe.stdout + probe.stderr
        time.sleep(1)


@pytest.mark.timeout(600)
def test_the_nightly_job_runs_from_a_clean_clone_and_again_scores_nothing(
    tmp_path: Path, checkpoint: Path, cluster: dict[str, str]
) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    night = tmp_path / "reviews" / "ds=2026-11-22"
    write_parquet(night / "a.parquet", {"id": range(20), "text": [f"review {row}" for row in range(20)]})
    out = tmp_path / "scores" / "ds=2026-11-22"
    command: list[str | Path] = [
        BIN / "ray",
        "job",
        "submit",
        "--working-dir",
        ".",
        "--",
        "python",
        "-m",
        "jobs.score",
        "run",
    ]
    command += ["configs/reviews_nightly.yaml", "--date", "2026-11-22"]
    command += ["--set", f"input.path={tmp_path}/reviews/ds={{date}}/*.parquet"]
    command += ["--set", f"output.path={tmp_path}/scores/ds={{date}}", "--set", f"model.name={checkpoint}"]

    first = subprocess.run(
        command, cwd=clone, env=cluster, capture_output=True, text=True, timeout=280, check=False
    )
    assert first.returncode == 0, first.stdout + first.stderr
    assert "PUBLISHED ds=2026-11-22 in=20 scored=20 rejected=0" in first.stdout
    before = {path.name: path.read_bytes() for path in out.glob("*") if path.is_file()}
    assert read_output(out).num_rows == 20

    again = subprocess.run(
        command, cwd=clone, env=cluster, capture_output=True, text=True, timeout=280, check=False
    )
    assert again.returncode == 0, again.stdout + again.stderr
    assert "COMPLETE ds=2026-11-22" in again.stdout
    assert {path.name: path.read_bytes() for path in out.glob("*") if path.is_file()} == before
