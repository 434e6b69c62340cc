"""The process with a simulated cluster.

python -m tests.helpers.clusters.simulated_cluster /tmp/x '{"machines": [[8, 0], [4, 1]], "home": "/tmp/run", ...}'

Without a task it reads one from each line of standard input.
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
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from pipeline_lib.execution.worker import Worker
    from pipeline_lib.inputs.shards import Slice
    from pipeline_lib.planning.plan import Plan


def serve() -> None:
    """Start a head, and do each task that comes as a line of JSON on standard input."""
    cluster = _head()
    try:
        for line in sys.stdin:
            task = json.loads(line)
            _write(task, _run_on(cluster, task))
            sys.stdout.write("done\n")
            sys.stdout.flush()
    finally:
        cluster.shutdown()


def run_alone(task: dict[str, Any], home: Path) -> None:
    """Start what the task asks for, and run the job once.

    Args:
        task: may name CPUs and GPUs of an `own` Ray, `groups` of machines that Ray's autoscaler may start, or
            machines.
        home: of the user; with a `token`, an earlier Ray has left one there.
    """
    import ray

    if "token" in task:  # as an earlier Ray of this user left it
        (home / ".ray").mkdir()
        (home / ".ray" / "auth_token").write_text(task["token"])
    if "own" in task:
        prepare(task, home)
        cpus, gpus = task["own"]
        ray.init("local", num_cpus=cpus, num_gpus=gpus, include_dashboard=False, log_to_driver=False)
        _write(task, run(task, home))
    elif "groups" in task:
        from tests.helpers.clusters.growing_cluster import Groups, growing_cluster

        prepare(task, home)
        with growing_cluster(Groups(**task["groups"]), home):
            _write(task, run(task, home))
    else:
        cluster = _head()
        try:
            _write(task, _run_on(cluster, task))
        finally:
            cluster.shutdown()


def _write(task: dict[str, Any], found: dict[str, Any]) -> None:
    Path(task["home"], "found.json").write_text(json.dumps(found))


def _head() -> Any:
    from ray.cluster_utils import Cluster

    return Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})


def _run_on(cluster: Any, task: dict[str, Any]) -> dict[str, Any]:
    """Add the machines of a task, run the job on them, and remove them."""
    import ray

    home, over = Path(task["home"]), threading.Event()
    prepare(task, home)
    machines = [
        cluster.add_node(wait=False, num_cpus=cpus, num_gpus=gpus, object_store_memory=128 << 20)
        for cpus, gpus in task["machines"]
    ]
    cluster.wait_for_nodes(timeout=120)
    os.environ["RAY_ADDRESS"] = cluster.address
    with contextlib.ExitStack() as stack:
        stack.callback(_remove, cluster, machines)
        if "other" in task:
            stack.enter_context(_other_machine(task["other"], cluster.address))
        stack.callback(ray.shutdown)
        if "lost" in task:
            lost = machines[: task["lost"]]
            threading.Thread(target=_lose, args=(lost, home / "out"), daemon=True).start()
        if "held" in task:
            held = threading.Thread(target=_hold, args=(task["held"], home, bool(task.get("forever")), over))
            held.start()
            stack.callback(held.join)
        seen: set[str] = set()
        watch = threading.Thread(target=_watch, args=(seen, over))
        watch.start()
        stack.callback(watch.join)
        stack.callback(over.set)
        return {**run(task, home), "seen": sorted(seen)}


def _remove(cluster: Any, machines: list[Any]) -> None:
    for machine in machines:
        cluster.remove_node(machine)
    cluster.wait_for_nodes(timeout=120)


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
    from pipeline_lib.reporting.terminal.progress import Progress
    from pipeline_lib.settings.settings_file import parse_settings

    settings = {
        "model": {"name": task["model"]},
        "input": {"path": str(home / "in")},
        "output": {"path": task.get("output") or str(home / "out")},
        "tuning": {"rows_per_slice": 4, **task["tuning"]},
    }
    deadline = time.monotonic() + 120
    while "held" in task and not (home / "held").exists():
        assert time.monotonic() < deadline, "the other job got nothing to hold"
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
    """Return Ray's executor; unless the task wants the real steps, those that need PyTorch are replaced."""
    from jobs.bench.scale.nodes import Sleep
    from pipeline_lib.execution.ray_executor import RayExecutor
    from pipeline_lib.execution.steps import Steps

    if task.get("real"):
        return RayExecutor()
    steps = Steps(classify=partial(Sleep, _simulated(task, home)))
    # Where machines are lost, the work shall not be over before that is noticed.
    return RayExecutor(steps if "lost" in task else steps._replace(tokenize=OneToken))


class OneToken:
    """A step in the tokenizer's place, whose process would need seconds of a core to import PyTorch."""

    def __init__(self, plan: "Plan", worker: "Worker") -> None:
        del plan
        self._monitor = worker.monitor

    def __call__(self, part: "Slice", table: pa.Table) -> pa.Table:
        """Return the slice with one token for each text."""
        from pipeline_lib.inputs import columns

        with self._monitor.working("tokenizer", part):
            table = columns.without(table, [columns.TEXT, columns.PAIR])
            table = table.append_column(columns.TOKEN_IDS, pa.array([[1]] * part.rows, pa.list_(pa.int32())))
            table = table.append_column(columns.N_TOKENS, pa.repeat(pa.scalar(1, pa.int32()), part.rows))
            return table.append_column(columns.TRUNCATED, pa.repeat(False, part.rows))


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


def _watch(seen: set[str], over: threading.Event) -> None:
    """Note whether every GPU was a model's while all tokenizers lived: else theirs might be what a model waits for.

    A short input hides that, since tokenizers that are done give up their CPUs.
    """
    import ray
    from ray._private import state

    while not over.wait(0.3):
        with contextlib.suppress(Exception):  # before the run connects, and when it is over
            free = [node.get("GPU", 0) for node in state.available_resources_per_node().values()]
            states = [
                actor["State"]
                for actor in state.actors(
                    job_id=ray.JobID.from_hex(ray.get_runtime_context().get_job_id())
                ).values()
                if "TokenizerActor" in actor["ActorClassName"]
            ]
            if states and "DEAD" not in states and not any(free):
                seen.add("models placed beside tokenizers")


def _hold(bundle: dict[str, float], home: Path, forever: bool, over: threading.Event) -> None:
    """Use a part of the cluster, as another job does, to the end or until the run says that it waits."""
    import ray
    from ray.util.placement_group import placement_group, remove_placement_group

    ray.init(os.environ["RAY_ADDRESS"], log_to_driver=False)
    group = placement_group([bundle])
    assert group.wait(60)
    (home / "held").touch()
    said = home / "said"
    while not over.wait(0.2) and (forever or not said.exists() or "waiting for" not in said.read_text()):
        pass
    remove_placement_group(group)


if __name__ == "__main__":
    folder, *alone = sys.argv[1:]
    if alone:
        run_alone(json.loads(alone[0]), Path(folder))
    else:
        serve()
