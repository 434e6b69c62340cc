"""A Ray cluster on loopback, and the nightly job submitted to it from a clean clone."""

import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.conftest import ROOT, read_output, write_parquet
from tests.helpers.environments import BIN, environment_of
from tests.helpers.papers import commands, examples, section
from tests.helpers.processes import end_ray
from tests.helpers.stores.servers import free_port

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Start a head with its job server; yield the environment in which a user would submit."""
    port, jobs = free_port(), free_port()
    home = tmp_path / "home"
    home.mkdir()
    environment = {
        **environment_of(home),
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


def clone_to(folder: Path) -> Path:
    """Return a clean clone of this project."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    return folder


def typed(line: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a line as a person types it in a folder."""
    return subprocess.run(
        ["sh", "-c", line], cwd=folder, env=environment, capture_output=True, text=True, timeout=280, check=False
    )


@pytest.mark.timeout(600)
def test_the_nightly_line_of_the_readme_runs_from_a_clean_clone_and_again_scores_nothing(
    tmp_path: Path, checkpoint: Path, cluster: dict[str, str]
) -> None:
    clone = clone_to(tmp_path / "clone")
    night = tmp_path / "reviews" / "ds=2026-11-22"
    write_parquet(night / "a.parquet", {"id": range(20), "text": [f"review {row}" for row in range(20)]})
    out = tmp_path / "scores" / "ds=2026-11-22"
    (line,) = commands(examples("Every night")[1][1])
    line += f" --set 'input.path={tmp_path}/reviews/ds={{date}}/*.parquet'"
    line += f" --set 'output.path={tmp_path}/scores/ds={{date}}' --set model.name={checkpoint}"

    first = typed(line, clone, cluster)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "PUBLISHED ds=2026-11-22 in=20 scored=20 rejected=0" in first.stdout
    before = {path.name: path.read_bytes() for path in out.glob("*") if path.is_file()}
    assert read_output(out).num_rows == 20

    again = typed(line, clone, cluster)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "COMPLETE ds=2026-11-22" in again.stdout
    assert {path.name: path.read_bytes() for path in out.glob("*") if path.is_file()} == before

    # Ray says 1 whatever the job's own code is, which it prints.
    early = typed(line.replace("2026-11-22", "2026-11-23"), clone, cluster)
    assert early.returncode == 1
    said = early.stdout + early.stderr
    assert "error: the input of 2026-11-23 is not there yet" in said
    (quoted,) = re.findall(r"`(Job entrypoint command failed [^`]+)`", section("Every night"))
    assert quoted in said


@pytest.mark.timeout(300)
def test_a_relative_output_of_a_submitted_job_is_refused(
    tmp_path: Path, checkpoint: Path, cluster: dict[str, str]
) -> None:
    """It would be published in Ray's copy of the working folder, and be gone with that."""
    line = "ray job submit --working-dir . -- python -m jobs.score run configs/sample.yaml "
    line += f"--set output.path=out/mine --set model.name={checkpoint}"
    result = typed(line, clone_to(tmp_path / "clone"), cluster)
    said = result.stdout + result.stderr
    assert result.returncode != 0, said
    assert "error: output.path: 'out/mine' lies in Ray's temporary copy of the working folder" in said
    assert "PUBLISHED" not in said


def is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.usual_ports
@pytest.mark.timeout(600)
def test_the_readmes_cluster_lines_work_in_an_empty_home_after_a_run_on_this_machine(tmp_path: Path) -> None:
    if is_taken(6379) or is_taken(8265):
        pytest.skip("another Ray has its usual ports")
    clone, home = clone_to(tmp_path / "clone"), tmp_path / "home"
    home.mkdir()
    folder = Path(tempfile.mkdtemp(prefix="ns", dir="/tmp"))
    environment = environment_of(home) | {"RAY_TMPDIR": str(folder)}
    # `make run` without the installation.
    first = typed("python -m jobs.score run configs/sample.yaml", clone, environment)
    assert first.returncode == 0, first.stderr
    assert masked(examples("Try it")[1][1]) in masked(first.stderr + first.stdout)
    assert not (home / ".ray" / "auth_token").exists()
    said = {}
    try:
        for line in commands(examples("Every night")[0][1]):
            if line.startswith("export "):
                name, _, value = line.removeprefix("export ").partition("=")
                environment[name] = value
            elif not line.startswith("pip "):
                result = typed(line, clone, environment)
                said[line] = result.stdout + result.stderr
                assert result.returncode == 0, (line, said[line])
            if line.startswith("ray start"):
                _wait_for_the_job_agent(environment)
        _stops_a_job(clone, environment)
    finally:
        end_ray(folder)
    assert (home / ".ray" / "auth_token").exists()
    assert "PUBLISHED in=2,000" in said["ray job logs --follow reviews-1"]
    assert "succeeded" in said["ray job status reviews-1"]
    parts = sorted((clone / "out" / "sample").glob("part-*"))
    assert len(parts) == 3
    # Not byte for byte: the footer names the checkpoint, whose path in a submitted job is that of Ray's copy.
    for part in parts:
        assert pq.read_table(part).equals(pq.read_table(clone / "out" / "cluster" / part.name))


def masked(printed: str) -> str:
    """Return what a run printed, without its times and the Python that it was started with."""
    printed = re.sub(r"[\d.m]+s [\d,]+ rows/s", "TIME", printed)
    return re.sub(r"^open     \S+", "open     PYTHON", printed, flags=re.MULTILINE)


def _stops_a_job(clone: Path, environment: dict[str, str]) -> None:
    """Submit the job once more, and stop it as the README says."""
    submit = (
        commands(examples("Every night")[0][1])[4].replace("reviews-1", "reviews-2").replace("/cluster", "/stopped")
    )
    (stop,) = re.findall(r"`(ray job stop [^`]+)`", section("Every night"))
    for line in (submit, stop.replace("reviews-1", "reviews-2")):
        result = typed(line, clone, environment)
        assert result.returncode == 0, result.stdout + result.stderr
    assert "stopped" in typed("ray job status reviews-2", clone, environment).stdout.lower()
    assert not (clone / "out" / "stopped" / "_SUCCESS").exists()
