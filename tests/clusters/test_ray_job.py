"""The pod of the CronJob creates one RayJob, waits for it whatever the API server does, and tells its exit code."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.helpers.clusters.kubernetes_server import RayJobs, Status, api_server
from tests.helpers.clusters.schedules import READY_MADE, ROOT, documents

RUNNING: list[Status] = [
    {"jobDeploymentStatus": "Initializing"},
    {"jobDeploymentStatus": "Running", "jobStatus": "PENDING"},
    {"jobDeploymentStatus": "Running", "jobStatus": "RUNNING"},
]
SUCCEEDED: Status = {"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED", "message": "Job finished."}


def failed(message: str, reason: str = "AppFailed") -> Status:
    return {"jobDeploymentStatus": "Failed", "jobStatus": "FAILED", "reason": reason, "message": message}


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    text = (READY_MADE / "reviews-nightly.kubernetes.yaml").read_text(encoding="utf-8")
    path = tmp_path / "rayjob.yaml"
    path.write_text(documents(text)["ConfigMap"]["data"]["rayjob.yaml"], encoding="utf-8")
    return path


def start(manifest: Path, kubeconfig: Path, job: str = "reviews-nightly-29712345") -> subprocess.Popen[str]:
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "JOB_NAME": job, "JOB_UID": "1-2"}
    command = [sys.executable, "-m", "jobs.ray_job", str(manifest), "--seconds-between-looks", "0.01"]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for_looks(ray_jobs: RayJobs, waiting: subprocess.Popen[str]) -> None:
    """Wait until the program has looked at the status of its RayJob a few times."""
    while ray_jobs.looks < 3:
        assert waiting.poll() is None
        time.sleep(0.01)


def ended(waiting: subprocess.Popen[str]) -> tuple[int, str, str]:
    stdout, stderr = waiting.communicate(timeout=120)
    assert "Traceback" not in stderr
    return waiting.returncode, stdout, stderr


def test_a_night_is_one_ray_job_that_belongs_to_the_pods_job(manifest: Path, tmp_path: Path) -> None:
    ray_jobs = RayJobs([*RUNNING, SUCCEEDED])
    with api_server(ray_jobs, tmp_path) as kubeconfig:
        code, said, notes = ended(start(manifest, kubeconfig))
    assert (code, said) == (0, "SUCCEEDED exit code 0\n"), notes
    (job,) = ray_jobs.jobs
    assert job["metadata"]["ownerReferences"][0]["name"] == "reviews-nightly-29712345"
    assert "Initializing\nRunning PENDING\nRunning RUNNING\nComplete SUCCEEDED\n" in notes


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (failed("Job entrypoint command failed with exit code 5, last available logs:\nFAILED"), 5),
        (failed("Job entrypoint command failed with exit code 3. No logs available."), 3),
        (failed("The RayJob has passed the activeDeadlineSeconds.", "DeadlineExceeded"), 1),
        ({"jobDeploymentStatus": "Complete", "jobStatus": "STOPPED", "message": "Job was stopped."}, 1),
        ({"jobDeploymentStatus": "ValidationFailed", "reason": "ValidationFailed", "message": "wrong"}, 2),
        (failed("Job entrypoint command failed with exit code -9. No logs available."), 1),
        ({"jobDeploymentStatus": "Failed"}, 1),
    ],
)
def test_the_exit_code_is_that_of_the_program_in_the_ray_job(status: Status, code: int) -> None:
    from jobs.ray_job import exit_code

    assert exit_code(status) == code


def test_a_program_that_failed_ends_the_pod_with_its_code_and_its_last_lines(
    manifest: Path, tmp_path: Path
) -> None:
    message = (
        "Job entrypoint command failed with exit code 5, last available logs:\nFAILED the input is not there yet"
    )
    with api_server(RayJobs([*RUNNING, failed(message)]), tmp_path) as kubeconfig:
        code, said, notes = ended(start(manifest, kubeconfig))
    assert (code, said) == (5, "FAILED exit code 5\n")
    assert message in notes


def test_a_pod_in_the_place_of_an_evicted_one_waits_for_the_same_ray_job(manifest: Path, tmp_path: Path) -> None:
    ray_jobs = RayJobs(RUNNING)
    with api_server(ray_jobs, tmp_path) as kubeconfig:
        evicted = start(manifest, kubeconfig)
        wait_for_looks(ray_jobs, evicted)
        evicted.send_signal(signal.SIGTERM)
        assert ended(evicted)[0] == 1
        ray_jobs.statuses = [SUCCEEDED]
        assert ended(start(manifest, kubeconfig))[0] == 0
        assert len(ray_jobs.jobs) == 1
        # A try after the end of the first RayJob, and another night, have RayJobs of their own.
        assert ended(start(manifest, kubeconfig))[0] == 0
        assert ended(start(manifest, kubeconfig, "reviews-nightly-29713785"))[0] == 0
        assert len(ray_jobs.jobs) == 3


def test_an_api_server_that_does_not_answer_for_a_while_is_waited_for(manifest: Path, tmp_path: Path) -> None:
    ray_jobs = RayJobs([*RUNNING * 200, SUCCEEDED])
    with api_server(ray_jobs, tmp_path) as kubeconfig:
        waiting = start(manifest, kubeconfig)
        wait_for_looks(ray_jobs, waiting)
        ray_jobs.faults = 20
        ray_jobs.statuses = [SUCCEEDED]
        code, _, notes = ended(waiting)
    assert code == 0
    assert "the API server does not answer" in notes


def test_a_ray_job_that_the_api_server_refuses_is_a_fault_with_its_reason(manifest: Path, tmp_path: Path) -> None:
    damaged = yaml.safe_load(manifest.read_text())
    damaged["spec"]["entryPoint"] = "x"
    manifest.write_text(yaml.safe_dump(damaged))
    with api_server(RayJobs([]), tmp_path) as kubeconfig:
        code, said, notes = ended(start(manifest, kubeconfig))
    assert (code, said) == (1, "")
    assert "'entryPoint' was unexpected" in notes
