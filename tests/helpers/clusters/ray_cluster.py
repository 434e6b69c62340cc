"""A Ray cluster of separate raylets on this machine, as `ray start` makes it; machines can be lost and added."""

import json
import signal
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Self

from tests.helpers.environments import BIN, environment_of
from tests.helpers.processes import end_ray, kill, process_tree, survivors
from tests.helpers.stores.servers import free_port

_MEMORY = 128 << 20
_SECONDS_TO_JOIN = 120.0


class RayCluster:
    """A head with a job server, and machines that join it.

    Args:
        home: an empty folder, for the home of the user.
        cpus: logical ones of the head.
        environment: variables that all processes of the cluster and those who submit have.
    """

    def __init__(self, home: Path, cpus: int, environment: dict[str, str] | None = None) -> None:
        # Not below the test's folder: Ray's socket names must stay short.
        self._folder = Path(tempfile.mkdtemp(prefix="ns", dir="/tmp"))
        self._cpus = cpus
        self._address, self._jobs = "", ""
        self._base = {
            **environment_of(home),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_TMPDIR": str(self._folder),
            **(environment or {}),
        }
        self._started = 0
        self.machines: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        try:
            self.start_head()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which a user submits a job to this cluster."""
        return {**self._base, "RAY_ADDRESS": self._jobs, "RAY_API_SERVER_ADDRESS": self._jobs}

    def start_head(self) -> None:
        """Start a head, the first one or one in place of one that was lost, and wait until it takes jobs."""
        port, jobs = free_port(), free_port()
        self._address, self._jobs = f"127.0.0.1:{port}", f"http://127.0.0.1:{jobs}"
        start = [str(BIN / "ray"), "start", "--head", f"--port={port}", f"--dashboard-port={jobs}"]
        options = ["--include-dashboard=true", "--disable-usage-stats", f"--num-cpus={self._cpus}", *_own_ports()]
        started = subprocess.run(
            [*start, *options, f"--object-store-memory={_MEMORY}"],
            env=self._base,
            check=False,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert started.returncode == 0, started.stdout + started.stderr
        deadline = time.monotonic() + 120
        # `ray start` returns before the head's agent has registered.
        while (probe := self.typed("ray job submit -- true")).returncode:
            assert time.monotonic() < deadline, probe.stdout + probe.stderr
            time.sleep(1)

    def lose_head(self) -> None:
        """Kill all processes of the cluster at once: without its head it is none."""
        for machine in self.machines:
            kill(process_tree(machine.pid))
            machine.wait()
        self.machines.clear()
        end_ray(self._folder)
        self._folder.mkdir()

    def add_machine(self, cpus: int = 1, **environment: str) -> subprocess.Popen[bytes]:
        """Start a machine and wait until it has joined the head."""
        before = self.alive()
        command = [str(BIN / "ray"), "start", f"--address={self._address}", f"--num-cpus={cpus}", "--block"]
        # A folder of its own, as a real machine has: in a shared one each raylet would delete the working folder of
        # the job, in which the driver runs, and unpack it anew.
        self._started += 1
        folder = self._folder / str(self._started)
        machine = subprocess.Popen(
            [
                *command,
                f"--temp-dir={folder}",
                "--disable-usage-stats",
                f"--object-store-memory={_MEMORY}",
                *_own_ports(),
            ],
            env={**self._base, **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.machines.append(machine)
        deadline = time.monotonic() + _SECONDS_TO_JOIN
        while not self.alive() - before:
            assert machine.poll() is None, "a machine did not start"
            assert time.monotonic() < deadline, "a machine did not join"
            time.sleep(0.2)
        return machine

    def lose(self, machine: subprocess.Popen[bytes]) -> None:
        """Kill all processes of a machine at once, as a power cut does."""
        processes = process_tree(machine.pid)
        kill(processes)
        machine.wait()
        assert list(survivors(processes, 10)) == []
        self.machines.remove(machine)

    def alive(self) -> set[str]:
        """Return the ids of the machines that the head takes for alive, itself among them."""
        with urllib.request.urlopen(f"{self._jobs}/api/v0/nodes", timeout=60) as answer:  # noqa: S310 - our own head
            nodes = json.load(answer)["data"]["result"]["result"]
        return {node["node_id"] for node in nodes if node["state"] == "ALIVE"}

    def typed(self, line: str, folder: Path = Path()) -> subprocess.CompletedProcess[str]:
        """Run a line as a person types it in a folder."""
        return subprocess.run(
            ["sh", "-c", line],
            cwd=folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )

    def _end(self) -> None:
        for machine in self.machines:
            machine.send_signal(signal.SIGKILL)
            machine.wait()
        end_ray(self._folder)


def _own_ports() -> list[str]:
    """Return options for ports that are fixed numbers by default, which another Ray of this machine may have."""
    names = ("dashboard-agent-listen-port", "dashboard-agent-grpc-port", "runtime-env-agent-port")
    return [f"--{name}={free_port()}" for name in (*names, "metrics-export-port")]
