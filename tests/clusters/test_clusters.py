"""Nights on a cluster of separate raylets, submitted from a clean clone; machines, driver and head are lost."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pandas as pd
import psutil
import pytest
import s3fs

from pipeline_lib.publishing.verifier import verify
from tests.conftest import ROOT
from tests.helpers.clusters.ray_cluster import RayCluster
from tests.helpers.processes import kill, workers
from tests.helpers.stores.s3_proxy import S3Proxy
from tests.helpers.stores.servers import access_to

pytestmark = [pytest.mark.slow, pytest.mark.clusters, pytest.mark.timeout(600)]

BUCKET = f"clusters-{os.getpid()}"
OUT = f"{BUCKET}/scores/ds=2026-11-22"
SHARDS, ROWS_PER_SHARD, ROWS_PER_SLICE = 4, 200, 20
SLICES = SHARDS * ROWS_PER_SHARD // ROWS_PER_SLICE
MACHINES = 3


@dataclass
class Pace:
    """Takes a while for each part, so that a run lasts long enough to lose something on its way."""

    seconds_per_part: float = 0.4

    def __call__(self, method: str, path: str) -> None:
        """Wait before a request to the store is answered."""
        if method == "PUT" and "_staging" in path and path.partition("?")[0].endswith(".parquet"):
            time.sleep(self.seconds_per_part)


@dataclass
class Night:
    """A cluster, a clean clone, and a night of reviews in a bucket."""

    cluster: RayCluster
    store: s3fs.S3FileSystem
    clone: Path
    checkpoint: Path
    pace: "Pace"

    def start(self) -> subprocess.Popen[str]:
        """Submit the job, as a scheduler does, onto as many machines as the cluster shall have."""
        while len(self.cluster.machines) < MACHINES:
            self.cluster.add_machine()
        sets = [
            f"model.name={self.checkpoint}",
            "model.precision=float32",
            f"input.path=s3://{BUCKET}/reviews/ds={{date}}/*.parquet",
            f"output.path=s3://{BUCKET}/scores/ds={{date}}",
            f"tuning.rows_per_slice={ROWS_PER_SLICE}",
            "tuning.gpus_per_model_actor=0",
            f"tuning.model_actors={MACHINES}",
            "tuning.tokenizer_actors=null",
        ]
        line = "ray job submit --working-dir . -- python -m jobs.score run configs/cluster.yaml --date 2026-11-22"
        options = [word for each in sets for word in ("--set", each)]
        return subprocess.Popen(
            [*line.split(), *options],
            cwd=self.clone,
            env=self.cluster.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def end(self, run: subprocess.Popen[str]) -> str:
        """Wait until a job has published; return what it said."""
        said, _ = run.communicate(timeout=280)
        assert run.returncode == 0, said
        assert f"PUBLISHED ds=2026-11-22 in={SHARDS * ROWS_PER_SHARD} " in said
        assert verify(f"s3://{OUT}")[1] == []
        return said

    def wait_for_parts(self, number: int) -> None:
        """Wait until some slices are staged."""
        _wait_until(lambda: len(self._staged()) >= number)
        assert len(self._staged()) < SLICES, "too late to lose anything"

    def published(self) -> dict[str, str]:
        """Return the hash of every object but the records of runs."""
        self.store.invalidate_cache()
        return {
            name: sha256(self.store.cat_file(name)).hexdigest()
            for name in self.store.find(OUT)
            if "/_runs/" not in name and not name.endswith(("/_metrics.json", "/_report.html"))
        }

    def rows_by_node(self) -> dict[str, int]:
        """Return what the run that published says of each node."""
        found: dict[str, int] = json.loads(self.store.cat_file(f"{OUT}/_metrics.json"))["rows_by_node"]
        return found

    def remove_output(self) -> None:
        """Make the output as if no run had been."""
        self.store.invalidate_cache()
        if self.store.exists(OUT):
            self.store.rm(OUT, recursive=True)

    def _staged(self) -> list[str]:
        self.store.invalidate_cache()
        return [name for name in self.store.find(f"{OUT}/_staging") if name.endswith(".json") and "/part-" in name]


def _wait_until(holds: Callable[[], bool], seconds: float = 200) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture(scope="module")
def night(s3_server: str, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    """A head without CPUs and three machines, and 40 slices to score."""
    store = s3fs.S3FileSystem(endpoint_url=s3_server)
    store.mkdir(BUCKET)
    for shard in range(SHARDS):
        texts = [f"review {row} of shard {shard}, and more words" for row in range(ROWS_PER_SHARD)]
        frame = pd.DataFrame({"id": range(ROWS_PER_SHARD), "text": texts})
        with store.open(f"{BUCKET}/reviews/ds=2026-11-22/{shard}.parquet", "wb") as file:
            frame.to_parquet(file)
    home = tmp_path_factory.mktemp("night")
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(home / "clone")], check=True)
    pace = Pace()
    with S3Proxy(s3_server, answer=pace) as proxy, RayCluster(home, 0, access_to(proxy.endpoint)) as cluster:
        yield Night(cluster, store, home / "clone", checkpoint, pace)


@dataclass
class Undisturbed:
    """What a run without any loss said and left."""

    said: str
    published: dict[str, str]
    rows_by_node: dict[str, int]


@pytest.fixture(scope="module")
def undisturbed(night: Night) -> Undisturbed:
    """Publish once; the tests compare with it."""
    said = night.end(night.start())
    found = Undisturbed(said, night.published(), night.rows_by_node())
    night.remove_output()
    return found


def test_every_node_of_a_cluster_does_a_share(undisturbed: Undisturbed) -> None:
    assert f"{MACHINES} model actors" in undisturbed.said
    assert sum("/part-" in name for name in undisturbed.published) == SHARDS, "the slices of each are joined"
    shares = undisturbed.rows_by_node
    assert len(shares) == MACHINES
    assert sum(shares.values()) == SHARDS * ROWS_PER_SHARD
    assert min(shares.values()) >= ROWS_PER_SLICE


def test_a_worker_that_is_killed_on_a_cluster_changes_no_byte(undisturbed: Undisturbed, night: Night) -> None:
    run = night.start()
    night.wait_for_parts(8)
    assert kill(workers(night.cluster.machines[0].pid, "MapWorker")) == 1
    night.end(run)
    assert night.published() == undisturbed.published
    night.remove_output()


def test_two_nodes_that_are_lost_and_one_that_comes_change_no_byte(undisturbed: Undisturbed, night: Night) -> None:
    run = night.start()
    night.wait_for_parts(4)
    for machine in night.cluster.machines[:2]:
        night.cluster.lose(machine)
    night.cluster.add_machine()
    said = night.end(run)
    assert night.published() == undisturbed.published, said
    night.remove_output()


def test_a_machine_that_comes_with_other_libraries_takes_no_part(night: Night, tmp_path: Path) -> None:
    about = tmp_path / "tokenizers-0.0.1.dist-info" / "METADATA"
    about.parent.mkdir()
    about.write_text("Metadata-Version: 2.1\nName: tokenizers\nVersion: 0.0.1\n")
    run = night.start()
    night.wait_for_parts(4)
    night.pace.seconds_per_part = 5  # else the others are done before it has started
    night.cluster.lose(night.cluster.machines[0])
    other = night.cluster.add_machine(PYTHONPATH=str(tmp_path))
    try:
        said, _ = run.communicate(timeout=280)
    finally:
        night.pace.seconds_per_part = Pace.seconds_per_part
        night.cluster.lose(other)
        night.remove_output()
    assert run.returncode == 1, said
    assert "Job entrypoint command failed with exit code 2" in said
    assert "other libraries: tokenizers 0.0.1 (here " in said


def test_a_job_whose_driver_is_killed_goes_on_when_it_is_submitted_again(
    undisturbed: Undisturbed, night: Night
) -> None:
    run = night.start()
    night.wait_for_parts(8)
    drivers = [process for process in psutil.process_iter() if f"output.path=s3://{BUCKET}" in _command(process)]
    assert kill([driver for driver in drivers if driver.pid != run.pid]) > 0
    said, _ = run.communicate(timeout=200)
    assert run.returncode == 1, said
    said = night.end(night.start())
    assert night.published() == undisturbed.published
    assert sum(night.rows_by_node().values()) < SHARDS * ROWS_PER_SHARD, "it began anew"
    night.remove_output()


def test_a_job_whose_head_is_lost_goes_on_when_it_is_submitted_to_a_new_head(
    undisturbed: Undisturbed, night: Night
) -> None:
    run = night.start()
    night.wait_for_parts(8)
    night.cluster.lose_head()
    said, _ = run.communicate(timeout=200)
    assert run.returncode != 0, said
    night.cluster.start_head()
    night.end(night.start())
    assert night.published() == undisturbed.published
    assert sum(night.rows_by_node().values()) < SHARDS * ROWS_PER_SHARD, "it began anew"
    night.remove_output()


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
