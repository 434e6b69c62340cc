"""A Ray cluster on loopback, and the nightly job submitted to it from a clean clone."""

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, read_output, write_parquet
from tests.helpers.processes import end_ray
from tests.helpers.servers import free_port

pytestmark = pytest.mark.slow

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
        end_ray(folder)


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


@pytest.mark.timeout(300)
def test_a_relative_output_of_a_submitted_job_is_refused(
    tmp_path: Path, checkpoint: Path, cluster: dict[str, str]
) -> None:
    """It would be published in Ray's copy of the working folder, and be gone with that."""
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    command = [str(BIN / "ray"), "job", "submit", "--working-dir", ".", "--", "python", "-m", "jobs.score", "run"]
    command += ["configs/sample.yaml", "--set", "output.path=out/mine", "--set", f"model.name={checkpoint}"]
    result = subprocess.run(
        command, cwd=clone, env=cluster, capture_output=True, text=True, timeout=280, check=False
    )
    said = result.stdout + result.stderr
    assert result.returncode != 0, said
    assert "error: output.path: 'out/mine' lies in Ray's temporary copy of the working folder" in said
    assert "PUBLISHED" not in said


def lines_of_the_readme(heading: str) -> list[str]:
    """Return the commands of the first block below a bold heading of the README, without their comments."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(rf"\*\*{heading}\*\*.*?```sh\n(.*?)```", readme, re.DOTALL)
    assert block, heading
    return [line.partition("  #")[0].strip() for line in block[1].splitlines()]


def is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.usual_ports
@pytest.mark.timeout(600)
def test_the_readmes_cluster_lines_work_in_an_empty_home_after_a_run_on_this_machine(tmp_path: Path) -> None:
    if is_taken(6379) or is_taken(8265):
        pytest.skip("another Ray has its usual ports")
    clone, home = tmp_path / "clone", tmp_path / "home"
    home.mkdir()
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    folder = Path(tempfile.mkdtemp(prefix="ns", dir="/tmp"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {"HOME": str(home), "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "RAY_TMPDIR": str(folder)}
    # `make run` without the installation.
    typed = ["python -m jobs.score run configs/sample.yaml", *lines_of_the_readme("On a cluster.")]
    said = {}
    try:
        for line in typed:
            if line.startswith("pip "):
                continue
            result = subprocess.run(
                ["sh", "-c", line],
                cwd=clone,
                env=environment,
                capture_output=True,
                text=True,
                timeout=280,
                check=False,
            )
            said[line] = result.stdout + result.stderr
            assert result.returncode == 0, (line, said[line])
            if line.startswith("ray start"):
                _wait_for_the_job_agent(environment)
    finally:
        end_ray(folder)
    assert "PUBLISHED in=2,000" in said[typed[-1]]
    assert read_output(clone / "out" / "cluster").num_rows > 1_900
    assert not (home / ".ray" / "auth_token").exists()
