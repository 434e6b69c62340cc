"""A Ray head on this machine, as an engineer starts one: with dashboard, agent and metrics."""

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.helpers.environments import BIN, environment_of
from tests.helpers.processes import end_ray
from tests.helpers.stores.servers import free_port


@contextlib.contextmanager
def ray_head(home: Path, cpus: int = 4, **system: int) -> Iterator[tuple[dict[str, str], Path]]:
    """Start a head; yield the environment in which a program joins it, and the folder of its logs.

    Args:
        home: the home folder of the head and of those who join it.
        cpus: logical CPUs.
        system: options of Ray's `--system-config`.
    """
    port = free_port()
    environment = environment_of(home) | {"RAY_USAGE_STATS_ENABLED": "0"}
    agents = ("dashboard-agent-listen-port", "dashboard-agent-grpc-port", "runtime-env-agent-port")
    # By default these are fixed numbers, which another Ray on this machine may have taken.
    ports = [
        word
        for name in ("dashboard-port", *agents, "metrics-export-port")
        for word in (f"--{name}", str(free_port()))
    ]
    # Not the temporary folder of the test: Ray's socket names must stay short.
    folder = Path(f"/tmp/ray-{port}")  # noqa: S108
    start: list[str | Path] = [BIN / "ray", "start", "--head", "--port", str(port), "--num-cpus", str(cpus), *ports]
    start += ["--temp-dir", folder, "--include-dashboard", "true", "--disable-usage-stats"]
    start += ["--system-config", json.dumps(system)] if system else []
    subprocess.run(start, env=environment, check=True, capture_output=True, timeout=120)
    try:
        yield {**environment, "RAY_ADDRESS": f"127.0.0.1:{port}"}, folder
    finally:
        end_ray(folder)
