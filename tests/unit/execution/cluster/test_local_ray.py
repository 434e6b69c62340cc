"""The program's own Ray: reached from this machine only, leaves nothing behind, follows no planted address."""

import os
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import torch

from pipeline_lib.execution.cluster.address import running_cluster
from tests.conftest import ROOT
from tests.helpers.clusters.simulated_cluster import on_cluster
from tests.helpers.environments import environment_of
from tests.helpers.processes import kill, process_tree, survivors
from tests.helpers.stores.servers import free_port

LOOPBACK = {"127.0.0.1", "::ffff:127.0.0.1", "::1"}


@pytest.fixture
def home() -> Iterator[Path]:
    """An empty home with a short path, with a folder for temporary files."""
    with tempfile.TemporaryDirectory(prefix="ns", dir="/tmp") as folder:
        (Path(folder) / "tmp").mkdir()
        yield Path(folder)


def start(home: Path, code: str) -> subprocess.Popen[str]:
    """Run code on a Ray of its own, as a user with that home would."""
    program = "from pipeline_lib.execution.cluster.connection import connected\nwith connected(lambda: None):\n"
    return subprocess.Popen(
        [sys.executable, "-c", program + textwrap.indent(code, "    ")],
        cwd=ROOT,
        env={**environment_of(home), "TMPDIR": str(home / "tmp"), "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


SAY_READY = "import ray\nray.get(ray.remote(lambda: 1).remote())\nprint('ready', flush=True)\ninput()"


def ready(run: subprocess.Popen[str]) -> list[psutil.Process]:
    """Wait until a worker answered; return the program with all its processes."""
    assert run.stdout
    assert run.stdout.readline() == "ready\n"
    return process_tree(run.pid)


PUBLISH_A_WARNING = """
import time
from ray._private import utils, worker
utils.publish_error_to_driver("worker_pool_large", "WARNING: many workers", worker.global_worker.gcs_client)
time.sleep(2)
print("end")
"""


@pytest.mark.slow
def test_what_ray_tells_every_driver_is_not_printed_among_our_lines(home: Path) -> None:
    run = start(home, PUBLISH_A_WARNING)
    assert run.communicate()[0] == "end\n"


@pytest.mark.slow
def test_a_question_asked_while_ray_starts_waits_for_that_ray_and_starts_no_other(home: Path) -> None:
    program = """
    import ray
    from pipeline_lib.execution.cluster.connection import connected

    def ask():
        with connected(lambda: None):
            return ray.get_runtime_context().gcs_address

    with connected(ask) as asked:
        print(asked == ray.get_runtime_context().gcs_address and ray.get(ray.remote(lambda: "one").remote()))
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=ROOT,
        env={**environment_of(home), "TMPDIR": str(home / "tmp"), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.stdout == "one\n", result.stderr


@pytest.mark.slow
def test_it_listens_on_loopback_alone_and_leaves_neither_token_nor_process_nor_folder(home: Path) -> None:
    run = start(home, SAY_READY)
    everyone = ready(run)
    listening = [
        (connection.laddr.ip, process.name())
        for process in everyone
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    folders = list((home / "tmp").glob("nightscore-*"))
    modes = [oct(folder.stat().st_mode & 0o777) for folder in folders]
    run.communicate("\n", timeout=60)
    assert run.returncode == 0
    assert len(listening) > 5
    assert {where for where in listening if where[0] not in LOOPBACK} == set()
    assert modes == ["0o700"]
    assert not (home / ".ray").exists()
    assert list(survivors(everyone, 5)) == []
    assert list((home / "tmp").iterdir()) == []


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_a_kill_of_the_driver_leaves_nothing_of_ray_and_hurts_nobody_who_looks_on(home: Path) -> None:
    """Another program may have a file of Ray's open, or one whose path looks like it, and even the same parent."""
    run = start(
        home, f"import subprocess, sys\nsubprocess.Popen(['sleep', '300'], stdout=subprocess.DEVNULL)\n{SAY_READY}"
    )
    everyone = ready(run)
    child = next(process for process in everyone if process.name() == "sleep")
    log = next((home / "tmp").glob("nightscore-*/r/session_2*/logs/raylet.out"))
    lookalike = home / f"session_2026-01-01_00-00-00_000000_{run.pid}" / "logs" / "a.log"
    lookalike.parent.mkdir(parents=True)
    lookalike.touch()
    onlookers = [
        subprocess.Popen(["tail", "-f", str(path)], stdout=subprocess.DEVNULL) for path in (log, lookalike)
    ]
    try:
        time.sleep(2)  # the looks at Ray's processes are some way apart
        assert kill(everyone[:1]) == 1
        run.communicate(timeout=30)
        assert [left.name() for left in survivors(everyone, 10)] == ["sleep"]
        time.sleep(3)
        assert [onlooker.poll() for onlooker in onlookers] == [None, None]
        assert child.is_running()
        assert list((home / "tmp").iterdir()) == []
    finally:
        for onlooker in onlookers:
            onlooker.kill()
            onlooker.wait()
        kill([child])


@pytest.mark.slow
def test_a_note_that_somebody_planted_for_a_dead_driver_gets_nobody_killed_and_nothing_written(home: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    planted = home / "tmp" / f"nightscore-{os.getuid()}"
    planted.mkdir()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip() + os.readlink("/proc/self/ns/pid")
    (planted / str(dead.pid)).write_text(f"{boot}/{dead.pid}-1")
    lookalike = home / f"session_2026-01-01_00-00-00_000000_{dead.pid}" / "a.log"
    lookalike.parent.mkdir()
    lookalike.touch()
    precious = home / "precious.txt"
    precious.write_text("mine")
    with subprocess.Popen(["tail", "-f", str(lookalike)], stdout=subprocess.DEVNULL) as victim:
        run = start(home, SAY_READY)
        (planted / str(run.pid)).symlink_to(precious)
        ready(run)
        run.communicate("\n", timeout=60)
        assert victim.poll() is None
        victim.kill()
    assert precious.read_text() == "mine"


@pytest.fixture
def note_of_a_cluster(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, socket.socket]]:
    """The place of the note that `ray start` leaves, and something that listens at an address."""
    monkeypatch.setenv("RAY_TMPDIR", str(home))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    (home / "ray").mkdir()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(0.2)
        yield home / "ray" / "ray_current_cluster", listener


def address_of(listener: socket.socket) -> str:
    return f"127.0.0.1:{listener.getsockname()[1]}"


def was_reached(listener: socket.socket) -> bool:
    try:
        listener.accept()[0].close()
    except TimeoutError:
        return False
    return True


def test_a_cluster_that_this_user_started_is_taken(note_of_a_cluster: tuple[Path, socket.socket]) -> None:
    note, listener = note_of_a_cluster
    note.write_text(address_of(listener))
    assert running_cluster() == address_of(listener)
    assert was_reached(listener)


def test_a_cluster_that_no_longer_answers_is_not_taken(note_of_a_cluster: tuple[Path, socket.socket]) -> None:
    note_of_a_cluster[0].write_text(f"127.0.0.1:{free_port()}")
    assert running_cluster() is None


@pytest.mark.parametrize("planted", ["by another user", "open to all", "a link", "a pipe"])
def test_an_address_that_anybody_else_may_have_written_is_not_even_tried(
    planted: str, note_of_a_cluster: tuple[Path, socket.socket], tmp_path: Path
) -> None:
    note, listener = note_of_a_cluster
    said: list[str] = []
    if planted == "a pipe":
        os.mkfifo(note)
    elif planted == "a link":
        (tmp_path / "elsewhere").write_text(address_of(listener))
        note.symlink_to(tmp_path / "elsewhere")
    else:
        note.write_text(address_of(listener))
        if planted == "open to all":
            note.chmod(0o666)
        elif os.getuid() == 0:
            os.chown(note, 65534, 65534)
        else:
            pytest.skip("only root can make a file of another user's")
    assert running_cluster(said.append) is None
    assert not was_reached(listener)
    if planted in {"by another user", "open to all"}:
        assert said == [f"{note} may be another user's and is not followed; to use that cluster, set RAY_ADDRESS"]


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="PyTorch can use the GPUs of this machine")
def test_a_gpu_of_the_own_machine_that_pytorch_cannot_use_is_left_alone_and_that_is_said(
    home: Path, checkpoint: Path
) -> None:
    found = on_cluster(home, checkpoint, own=(4, 1), slices=2, real=True)
    assert found["status"] == "PUBLISHED", found
    assert "Ray sees 1 GPU and PyTorch" in found["said"]
    assert "can use none; scoring on CPUs" in found["said"]
