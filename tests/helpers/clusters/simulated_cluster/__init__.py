"""Run the job on a simulated cluster, in a process of its own, and find out how it ended.

The machines are raylets of this one with logical CPUs and GPUs. The model's step sleeps in place of a GPU, and the
tokenizer's gives each text one token, unless the task says that they are the real ones. A task is one run:

    home: an empty folder for input and output.
    model: folder or URL of the checkpoint; tuning: settings.
    slices, seconds, models: of the sleeping step; real: all steps are the real ones.
    machines: CPUs and GPUs of each.
    other: one more machine, which hides folders or has another environment.
    held: resources that another job uses until the run waits for them, or forever.
    lost: how many machines are killed in the middle.
    own, groups, token: in place of machines, see `run_alone`.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

from tests.conftest import ROOT
from tests.helpers.environments import environment_of


class SimulatedCluster:
    """A cluster in a process of its own, with a head alone; each run has machines that are removed after it.

    Args:
        home: an empty folder with a short path, since Ray keeps sockets there.
    """

    def __init__(self, home: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.helpers.clusters.simulated_cluster", str(home)],
            cwd=ROOT,
            env=_environment(home),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._process.communicate(timeout=60)
        finally:
            self._process.kill()

    def run(self, home: Path, checkpoint: Path | str, **task: Any) -> dict[str, Any]:
        """Run the job; return how it ended.

        Args:
            home: an empty folder for input and output.
            checkpoint: folder or URL.
            task: see above.
        """
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps(_given(home, checkpoint, task)), file=self._process.stdin, flush=True)
        assert "done\n" in self._process.stdout, "the process with the cluster ended"
        return _found(home)


def on_cluster(home: Path, checkpoint: Path | str, **task: Any) -> dict[str, Any]:
    """Run the job on a simulated cluster that is there for this run alone; return how it ended.

    Args:
        home: an empty folder with a short path, since Ray keeps sockets there.
        checkpoint: folder or URL.
        task: see above.
    """
    given = json.dumps(_given(home, checkpoint, task))
    result = subprocess.run(
        [sys.executable, "-m", "tests.helpers.clusters.simulated_cluster", str(home), given],
        cwd=ROOT,
        env=_environment(home),
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return _found(home)


def _given(home: Path, checkpoint: Path | str, task: dict[str, Any]) -> dict[str, Any]:
    return {"slices": 8, "tuning": {}, "home": str(home), "model": str(checkpoint), **task}


def _environment(home: Path) -> dict[str, str]:
    # In a home of its own: whether a token of another Ray lies there would depend on the order of the tests.
    return {
        **environment_of(home),
        "PYTHONPATH": str(ROOT),
        "RAY_TMPDIR": str(home),
        "RAY_BACKEND_LOG_LEVEL": "fatal",
        # Else each machine starts a worker for each of its CPUs beforehand.
        "RAY_prestart_worker_first_driver": "0",
    }


def _found(home: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((home / "found.json").read_text())
    return found
