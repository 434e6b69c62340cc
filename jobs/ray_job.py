"""Creates a RayJob on Kubernetes, waits for its end, and ends with the exit code of the program in it.

`python -m jobs.ray_job FILE` runs in the pod of a CronJob. `JOB_NAME` and `JOB_UID` name the pod's Kubernetes job.
The RayJob belongs to that, is deleted with it, and is found again by a pod that takes the place of an evicted one.
"""

import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

_RAY_JOBS = {"group": "ray.io", "version": "v1", "plural": "rayjobs"}
_OWNER_LABEL = "nightscore/job"
# The states in which KubeRay leaves a RayJob alone (`rayjob_types.go`).
_ENDED = frozenset({"Complete", "Failed", "ValidationFailed"})
# What Ray writes about an entrypoint that failed; KubeRay copies it into the RayJob's status.
_EXIT_CODE = re.compile(r"Job entrypoint command failed with exit code (\d+)")
# An API server that is being replaced answers again within minutes.
_MOST_FAULTS = 60


def wait_for(api: Any, manifest: dict[str, Any], seconds_between_looks: float) -> dict[str, Any]:
    """Create the RayJob unless this Kubernetes job has one that is not over, and return its status at its end.

    Raises:
        ApiException: the API server refuses the RayJob or can't be reached for long.
    """
    ray_job = _unfinished(api, manifest) or _created(api, manifest)
    name, namespace = ray_job["metadata"]["name"], ray_job["metadata"]["namespace"]
    _note(f"RayJob {namespace}/{name}: kubectl describe rayjob {name} --namespace {namespace}")
    before, faults = "", 0
    while True:
        try:
            ray_job = api.get_namespaced_custom_object(name=name, namespace=namespace, **_RAY_JOBS)
            faults = 0
        except (ApiException, HTTPError) as error:
            faults += 1
            if faults > _MOST_FAULTS or getattr(error, "status", None) in {403, 404}:
                raise
            _note(f"the API server does not answer: {' '.join(str(error).split()):.200}")
        status: dict[str, Any] = ray_job.get("status", {})
        state = f"{status.get('jobDeploymentStatus') or 'New'} {status.get('jobStatus') or ''}".strip()
        if state != before:
            _note(before := state)
        if status.get("jobDeploymentStatus") in _ENDED:
            return status
        time.sleep(seconds_between_looks)


def exit_code(status: dict[str, Any]) -> int:
    """Return the exit code of the program in a RayJob that ended; 1 if it left none, as when its head was lost."""
    if status.get("jobStatus") == "SUCCEEDED":
        return 0
    if status.get("jobDeploymentStatus") == "ValidationFailed":
        return 2
    said = _EXIT_CODE.match(status.get("message") or "")
    return int(said[1]) if said else 1


def _unfinished(api: Any, manifest: dict[str, Any]) -> dict[str, Any] | None:
    """Return the RayJob that an earlier pod of this Kubernetes job created, unless it is over."""
    owner = os.environ.get("JOB_NAME")
    if not owner:
        return None
    listed = api.list_namespaced_custom_object(
        namespace=manifest["metadata"]["namespace"], label_selector=f"{_OWNER_LABEL}={owner}", **_RAY_JOBS
    )
    unfinished = [job for job in listed["items"] if job.get("status", {}).get("jobDeploymentStatus") not in _ENDED]
    return unfinished[0] if unfinished else None


def _created(api: Any, manifest: dict[str, Any]) -> dict[str, Any]:
    metadata = dict(manifest["metadata"])
    owner, uid = os.environ.get("JOB_NAME"), os.environ.get("JOB_UID")
    if owner and uid:
        metadata["labels"] = {**metadata.get("labels", {}), _OWNER_LABEL: owner}
        metadata["ownerReferences"] = [{"apiVersion": "batch/v1", "kind": "Job", "name": owner, "uid": uid}]
    created: dict[str, Any] = api.create_namespaced_custom_object(
        namespace=metadata["namespace"], body={**manifest, "metadata": metadata}, **_RAY_JOBS
    )
    return created


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def submit(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Manifest of the RayJob.")],
    seconds_between_looks: Annotated[float, typer.Option(help="Time between two looks at its status.")] = 15.0,
) -> None:
    """Create the RayJob of a file, wait for its end, and exit as its program did."""
    # The first process of a container ignores SIGTERM unless it says what to do.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    config.load_config()  # in a pod its service account, elsewhere what kubectl uses
    try:
        status = wait_for(
            client.CustomObjectsApi(), yaml.safe_load(file.read_text(encoding="utf-8")), seconds_between_looks
        )
    except (ApiException, HTTPError) as error:
        _note(f"error: {' '.join(str(error).split())}")
        raise typer.Exit(1) from None
    _note(status.get("message") or "")
    code = exit_code(status)
    print(f"{status.get('jobStatus') or status['jobDeploymentStatus']} exit code {code}", flush=True)
    raise typer.Exit(code)


if __name__ == "__main__":
    typer.run(submit)
