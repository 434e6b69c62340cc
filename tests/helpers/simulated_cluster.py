"""Run the job on a simulated cluster, in a process of its own, and find out how it ended.

python -m tests.helpers.simulated_cluster '{"machines": [[8, 0], [4, 1]], "slices": 8, "home": "/tmp/x", ...}'

The machines are raylets of this one with logical CPUs and GPUs. The model's stage sleeps in place of a GPU, unless
the task says that it is the real one.
"""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def on_cluster(home: Path, checkpoint: Path | str, **task: Any) -> dict[str, Any]:
    """Run the job on a simulated cluster in a process of its own; return how it ended.

    Args:
        home: an empty folder with a short path, since Ray keeps sockets there.
        checkpoint: folder or URL.
        task: see `main`.
    """
    given = {"slices": 8, "tuning": {}, "home": str(home), "model": str(checkpoint), **task}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    # In a home of its own: whether a token of another Ray lies there would depend on the order of the tests.
    environment["HOME"] = str(home)
    result = subprocess.run(
        [sys.executable, "-m", "tests.helpers.simulated_cluster", json.dumps(given)],
        cwd=ROOT,
        env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    found: dict[str, Any] = json.loads((home / "found.json").read_text())
    return found


def main(task: dict[str, Any]) -> dict[str, Any]:
    """Start the cluster, run the job, and return its counts or its error, with all that it told."""
    home = Path(task["home"])
    os.environ |= {"RAY_TMPDIR": str(home), "RAY_BACKEND_LOG_LEVEL": "fatal"}
    import ray

    prepare(task, home)
    if "own" in task:
        cpus, gpus = task["own"]
        ray.init("local", num_cpus=cpus, num_gpus=gpus, include_dashboard=False, log_to_driver=False)
        return run(task, home)
    if "token" in task:  # as an earlier Ray of this user left it
        (home / ".ray").mkdir()
        (home / ".ray" / "auth_token").write_text(task["token"])
    if "groups" in task:
        from tests.helpers.growing_cluster import Groups, growing_cluster

        with growing_cluster(Groups(**task["groups"]), home):
            return run(task, home)
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    with contextlib.ExitStack() as stack:
        stack.callback(cluster.shutdown)
        stack.callback(ray.shutdown)
        machines = [
            cluster.add_node(wait=False, num_cpus=cpus, num_gpus=gpus, object_store_memory=128 << 20)
            for cpus, gpus in task["machines"]
        ]
        cluster.wait_for_nodes(timeout=120)
        os.environ["RAY_ADDRESS"] = cluster.address
        if "other" in task:
            stack.enter_context(_other_machine(task["other"], cluster.address))
        if "lost" in task:
            lost = machines[: task["lost"]]
            threading.Thread(target=_lose, args=(lost, home / "out"), daemon=True).start()
        seen: set[str] = set()
        threading.Thread(target=_watch, args=(seen,), daemon=True).start()
        return {**run(task, home), "seen": sorted(seen)}


def _lose(machines: list[Any], output: Path) -> None:
    """Kill machines at once, in the middle of the work."""
    while len(list(output.glob("_staging/*/part-*.json"))) < 2 * len(machines):
        time.sleep(0.1)
    for machine in machines:
        machine.kill_all_processes(check_alive=False, allow_graceful=False)


@contextlib.contextmanager
def _other_machine(other: dict[str, Any], address: str) -> Iterator[None]:
    """Add a machine of two CPUs that sees an empty disk in place of a folder, or has an environment of its own."""
    hide = [f"mount -t tmpfs none {folder}" for folder in other.get("hidden", [])]
    start = f"exec ray start --address={address} --num-cpus=2 --object-store-memory={128 << 20} --block"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, **other.get("environment", {})}
    environment.pop("RAY_ADDRESS")
    command = ["unshare", "--mount", "sh", "-c", " && ".join([*hide, start])]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as machine:
        try:
            yield
        finally:
            machine.terminate()


def run(task: dict[str, Any], home: Path) -> dict[str, Any]:
    """Run the job on the cluster that `RAY_ADDRESS` names."""
    from rich.console import Console

    from pipeline_lib import pipeline
    from pipeline_lib.errors import NightscoreError
    from pipeline_lib.reporting.progress import Progress
    from pipeline_lib.settings.settings_file import parse_settings

    settings = {
        "model": {"name": task["model"]},
        "input": {"path": str(home / "in")},
        "output": {"path": task.get("output") or str(home / "out")},
        "tuning": {"rows_per_slice": 4, **task["tuning"]},
    }
    if "held" in task:
        held = (task["held"], home / "said", bool(task.get("forever")))
        threading.Thread(target=_hold, args=held, daemon=True).start()
        while not (home / "held").exists():
            time.sleep(0.1)
    if "other" in task:
        _wait_for_machines(len(task["machines"]) + 2)
    with (home / "said").open("a") as said:
        began = time.monotonic()
        try:
            outcome = pipeline.run(
                parse_settings(settings), None, Progress(Console(file=said, width=500)), _executor(task, home)
            )
            shares = outcome.rows_by_node
            found: dict[str, Any] = {"status": outcome.status, "scored": outcome.scored, "rows_by_node": shares}
        except NightscoreError as error:
            found = {"status": "FAILED", "exit_code": error.exit_code, "error": str(error)}
    return {**found, "seconds": time.monotonic() - began, "said": (home / "said").read_text()}


def _wait_for_machines(number: int) -> None:
    import ray

    ray.init(os.environ["RAY_ADDRESS"], log_to_driver=False)
    while sum(node["Alive"] for node in ray.nodes()) < number:
        time.sleep(0.2)


def _executor(task: dict[str, Any], home: Path) -> Any:
    """Return Ray's executor, with a step that sleeps in the model's place unless the task wants the real one."""
    from jobs.bench.scale.nodes import Sleep
    from pipeline_lib.execution.ray_executor import RayExecutor
    from pipeline_lib.execution.steps import Steps

    return (
        RayExecutor() if task.get("real") else RayExecutor(Steps(classify=partial(Sleep, _simulated(task, home))))
    )


def _simulated(task: dict[str, Any], home: Path) -> Any:
    from jobs.bench.scale.nodes import Task

    seconds = task.get("seconds", 0.2)
    return Task(task.get("models", 1), task["slices"], 4, seconds, task["model"], str(home))


def prepare(task: dict[str, Any], home: Path) -> None:
    """Write the input."""
    from jobs.bench.scale.nodes import write_input

    write_input(_simulated(task, home), home / "in")
    (home / "spans").mkdir()
    (home / "out").mkdir(exist_ok=True)


def _watch(seen: set[str]) -> None:
    """Note whether every GPU was a model's while all tokenizers lived: else theirs might be what a model waits for.

    A short input hides that, since tokenizers that are done give up their CPUs.
    """
    from ray._private import state

    while True:
        time.sleep(0.3)
        with contextlib.suppress(Exception):  # before the run connects, and when it is over
            free = [node.get("GPU", 0) for node in state.available_resources_per_node().values()]
            states = {
                actor["State"] for actor in state.actors().values() if "TokenizerActor" in actor["ActorClassName"]
            }
            if states and "DEAD" not in states and not any(free):
                seen.add("models placed beside tokenizers")


def _hold(bundle: dict[str, float], said: Path, forever: bool) -> None:
    """Use a part of the cluster, as another job does, to the end or until the run says that it waits."""
    import ray
    from ray.util.placement_group import placement_group, remove_placement_group

    ray.init(os.environ["RAY_ADDRESS"], log_to_driver=False)
    group = placement_group([bundle])
    assert group.wait(60)
    (said.parent / "held").touch()
    while forever or not said.exists() or "waiting for" not in said.read_text():
        time.sleep(0.2)
    remove_placement_group(group)


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    found = main(given)
    Path(given["home"], "found.json").write_text(json.dumps(found))
