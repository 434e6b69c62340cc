"""Where actors run: on clusters of unlike machines the model's get their place, or it is said what is missing."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import ROOT
from tests.helpers.clusters.simulated_cluster import SimulatedCluster, on_cluster

pytestmark = pytest.mark.slow


@pytest.fixture
def short_home() -> Iterator[Path]:
    """A folder with a short path, since Ray keeps sockets there."""
    with tempfile.TemporaryDirectory(prefix="ns", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def cluster() -> Iterator[SimulatedCluster]:
    """One cluster for the tests of this file that ask for machines; each has its own ones."""
    with tempfile.TemporaryDirectory(prefix="ns", dir="/tmp") as folder, SimulatedCluster(Path(folder)) as started:
        yield started


OnMachines = Callable[..., dict[str, Any]]


@pytest.fixture
def on_machines(cluster: SimulatedCluster, short_home: Path, checkpoint: Path) -> OnMachines:
    """Run the job on machines that are there for this test."""
    return partial(cluster.run, short_home, checkpoint)


@pytest.mark.parametrize(
    ("machines", "models"),
    [([(8, 0), (4, 1)], 1), ([(32, 0), (4, 1)], 1), ([(16, 0), (4, 1), (4, 1)], 2)],
    ids=str,
)
def test_small_machines_with_gpus_beside_ones_with_cpus_get_their_model(
    machines: list[tuple[int, int]], models: int, on_machines: OnMachines
) -> None:
    found = on_machines(machines=machines, models=models)
    assert found["status"] == "PUBLISHED", found
    assert found["scored"] == 8 * 4 * models
    assert f"{models} model actor" in found["said"]
    assert found["seen"] == ["models placed beside tokenizers"]


@pytest.mark.parametrize(
    ("machines", "tuning", "message"),
    [
        ([(1, 0), (1, 0)], {"cpus_per_model_actor": 2}, "1 model actor needs 2 CPUs and 0 GPUs; there are 2 and 0"),
        ([(4, 0)], {"gpus_per_model_actor": 1}, "need 2.5 CPUs and 1 GPU; there are 4 and 0"),
        ([(8, 0), (4, 1)], {"model_actors": 2}, "need 3.5 CPUs and 2 GPUs; there are 12 and 1"),
    ],
    ids=str,
)
def test_what_no_machine_can_take_is_refused_by_name_and_at_once(
    machines: list[tuple[int, int]],
    tuning: dict[str, Any],
    message: str,
    on_machines: OnMachines,
) -> None:
    found = on_machines(machines=machines, tuning=tuning)
    assert (found["status"], found["exit_code"]) == ("FAILED", 2)
    assert message in found["error"]
    assert len(machines) == 1 or "each actor must fit into one of the nodes" in found["error"]
    assert "waiting" not in found["said"]
    assert found["seconds"] < 60


@pytest.mark.skipif(torch.cuda.is_available(), reason="PyTorch can use the GPUs of this machine")
def test_a_gpu_of_a_cluster_that_pytorch_cannot_use_is_an_error_that_names_the_setting(
    on_machines: OnMachines,
) -> None:
    found = on_machines(machines=[(4, 1)], real=True)
    assert (found["status"], found["exit_code"]) == ("FAILED", 2), found
    assert "tuning.gpus_per_model_actor: 0" in found["error"]


def test_a_cluster_that_others_use_is_waited_for_and_that_is_said(on_machines: OnMachines) -> None:
    found = on_machines(machines=[(4, 1)], held={"GPU": 1.0})
    assert found["status"] == "PUBLISHED", found
    assert "waiting for others to end: 1 model actor of 1 CPU and 1 GPU must fit" in found["said"]
    assert "1 of 4 CPUs and 0 GPUs" in found["said"]


def test_a_cluster_that_others_use_in_part_is_used_for_the_rest(on_machines: OnMachines) -> None:
    found = on_machines(machines=[(8, 2)], held={"GPU": 1.0}, forever=True)
    assert found["status"] == "PUBLISHED", found
    assert "others use a part of the cluster; going on with 1 of 2 model actors" in found["said"]


@pytest.fixture
def other_disks() -> None:
    """Skip where a process may not have mounts of its own."""
    if subprocess.run(["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"], check=False).returncode:
        pytest.skip("can't give a process mounts of its own")


@pytest.mark.usefixtures("other_disks")
@pytest.mark.parametrize(
    ("hidden", "message"),
    [
        (
            "in",
            "the shard '{home}/in/000.parquet' is missing or another file there; every node needs the same files",
        ),
        ("out", "the output '{home}/out' is another folder there, or can't be reached; every node needs the same"),
        ("model", "model.name: '{home}/model' is missing or holds other files there"),
    ],
)
def test_a_machine_that_sees_other_files_is_named_before_work_starts(
    hidden: str, message: str, short_home: Path, checkpoint: Path, cluster: SimulatedCluster
) -> None:
    shutil.copytree(checkpoint, short_home / "model")
    other = {"hidden": [str(short_home / hidden)]}
    tuning = {"model_actors": 3}
    found = cluster.run(short_home, short_home / "model", machines=[(2, 0)], other=other, tuning=tuning)
    assert (found["status"], found.get("exit_code")) == ("FAILED", 2), found
    assert found["error"].startswith("node ")
    assert message.format(home=short_home) in found["error"]
    assert not list(short_home.glob("out/_staging/*/part-*"))
    assert not list(short_home.glob("out/_staging/*/.nodes*"))


@pytest.mark.usefixtures("other_disks")
def test_a_machine_with_other_libraries_is_named_before_work_starts(
    short_home: Path, on_machines: OnMachines
) -> None:
    about = short_home / "lib" / "tokenizers-0.0.1.dist-info" / "METADATA"
    about.parent.mkdir(parents=True)
    about.write_text("Metadata-Version: 2.1\nName: tokenizers\nVersion: 0.0.1\n")
    other = {"environment": {"PYTHONPATH": f"{short_home / 'lib'}{os.pathsep}{ROOT}"}}
    found = on_machines(machines=[(2, 0)], other=other, tuning={"model_actors": 3})
    assert (found["status"], found.get("exit_code")) == ("FAILED", 2), found
    assert "other libraries: tokenizers 0.0.1 (here " in found["error"]


@pytest.mark.usefixtures("other_disks")
def test_machines_that_see_the_same_share_the_work(on_machines: OnMachines) -> None:
    found = on_machines(machines=[(2, 0)], other={}, tuning={"model_actors": 3}, real=True)
    assert found["status"] == "PUBLISHED", found


def test_a_cluster_that_can_grow_is_asked_for_the_gpu_that_the_settings_name(
    short_home: Path, checkpoint: Path
) -> None:
    # Where something is staged there may be nothing to score, so machines are asked for when the plan is made.
    (short_home / "out" / "_staging" / "0123456789abcdef").mkdir(parents=True)
    (short_home / "out" / "_staging" / "0123456789abcdef" / "part-00000-000000000.json").touch()
    found = on_cluster(short_home, checkpoint, groups=groups(CPU=4, GPU=1), tuning={"gpus_per_model_actor": 1})
    assert found["status"] == "PUBLISHED", found
    assert found["scored"] == 8 * 4
    assert "waiting for the cluster to grow: 1 model actor of 1 CPU and 1 GPU must fit" in found["said"]
    assert "there now: 1 of 1 CPU and 0 GPUs" in found["said"]
    assert "1 model actor, 3 tokenizers, on CUDA" in found["said"]
    assert "float32 by torch" in found["said"], "OpenVINO computes on CPUs alone"


def groups(**resources: float) -> dict[str, Any]:
    """Return one group of at most one machine, or none where there are no resources."""
    if not resources:
        return {"resources": {}, "most": {}}
    return {"resources": {"more": {**resources, "object_store_memory": 128 << 20}}, "most": {"more": 1}}


TOKEN = "0123456789abcdef" * 4


def test_a_cluster_of_this_machine_that_demands_the_token_of_the_home_is_shown_it(
    short_home: Path, checkpoint: Path
) -> None:
    found = on_cluster(short_home, checkpoint, groups=groups(), token=TOKEN)
    assert found["status"] == "PUBLISHED", found
    assert "the cluster requires the token in" in found["said"]


def test_a_cluster_that_demands_no_token_is_joined_though_the_home_has_one(
    short_home: Path, checkpoint: Path
) -> None:
    found = on_cluster(short_home, checkpoint, machines=[(1, 0), (2, 1)], token=TOKEN)
    assert found["status"] == "PUBLISHED", found


@pytest.mark.parametrize("given", [groups(CPU=4), groups()], ids=["by CPUs alone", "but nothing makes it"])
def test_a_cluster_that_can_grow_by_no_gpu_is_not_waited_for(
    given: dict[str, Any], short_home: Path, checkpoint: Path
) -> None:
    found = on_cluster(short_home, checkpoint, groups=given, tuning={"gpus_per_model_actor": 1})
    assert (found["status"], found["exit_code"]) == ("FAILED", 2), found
    assert "need 2.5 CPUs and 1 GPU; there are 1 and 0" in found["error"]
