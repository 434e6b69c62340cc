"""A night on a cluster without a machine at first: the autoscaler brings some, one is lost, and all end in time."""

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import s3fs

from pipeline_lib.publishing.verifier import verify
from tests.helpers.clusters.growing_cluster import raylets
from tests.helpers.clusters.simulated_cluster import on_cluster
from tests.helpers.stores.s3_proxy import S3Proxy
from tests.helpers.stores.servers import s3_at

pytestmark = [pytest.mark.slow, pytest.mark.clusters, pytest.mark.timeout(600)]

BUCKET = f"from-zero-{os.getpid()}"
OUT = f"{BUCKET}/scores"
SLICES_PER_MODEL = 16
GROUPS = {
    "resources": {
        "gpu": {"CPU": 2, "GPU": 1, "object_store_memory": 128 << 20},
        "cpu": {"CPU": 2, "object_store_memory": 128 << 20},
    },
    "most": {"gpu": 2, "cpu": 1},
    "head_cpus": 0,
    "idle_minutes": 0.02,
}


@dataclass
class Night:
    """What happened on the cluster while a night was worked on, and how that ended."""

    home: Path
    seen: list[str] = field(default_factory=list)
    found: dict[str, Any] = field(default_factory=dict)
    publishes: bool = False

    def watch(self, method: str, path: str) -> None:
        """Hold back the model's weights until machines start, and publishing until they are gone."""
        if method == "GET" and path.endswith("/model/model.safetensors") and not self.seen:
            self._note("machines started before the model was there", lambda: bool(raylets(self.home)))
        self.publishes |= method == "PUT" and "/part-" in path and "/_staging/" not in path
        if self.publishes:
            # Each request waits for less than a client does.
            gone = _holds_in_time(lambda: not raylets(self.home), 10)
            if method == "PUT" and path.endswith("/_SUCCESS") and gone:
                self.seen.append("all machines ended before the result was published")

    def lose_a_machine(self, store: s3fs.S3FileSystem) -> None:
        """Kill a machine with a GPU when a part of the night is scored; note when another one has come."""
        _holds_in_time(lambda: len(_parts(store)) >= SLICES_PER_MODEL // 2)
        before = raylets(self.home, gpus=True)
        before[0].kill()
        self._note("another machine came", lambda: bool(set(raylets(self.home, gpus=True)) - set(before)))

    def _note(self, what: str, holds: Callable[[], bool]) -> None:
        self.seen.append(what if _holds_in_time(holds) else f"not in time: {what}")


def _holds_in_time(holds: Callable[[], bool], seconds: float = 150) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.2)
    return False


def _parts(store: s3fs.S3FileSystem) -> list[str]:
    store.invalidate_cache()
    return [name for name in store.find(f"{OUT}/_staging") if "/part-" in name and name.endswith(".json")]


@pytest.fixture(scope="module")
def night(s3_server: str, checkpoint: Path) -> Iterator[Night]:
    """A night from a cluster without workers, with two models on logical GPUs, one of which is lost on the way."""
    store = s3fs.S3FileSystem(endpoint_url=s3_server)
    store.mkdir(BUCKET)
    store.put(str(checkpoint), f"{BUCKET}/model", recursive=True)
    with tempfile.TemporaryDirectory(prefix="ns", dir="/tmp") as folder:
        night = Night(Path(folder))
        loser = threading.Thread(target=night.lose_a_machine, args=(store,), daemon=True)
        with S3Proxy(s3_server, answer=night.watch) as proxy, s3_at(proxy.endpoint):
            loser.start()
            night.found = on_cluster(
                night.home,
                f"s3://{BUCKET}/model",
                output=f"s3://{OUT}",
                groups=GROUPS,
                slices=SLICES_PER_MODEL,
                models=2,
                seconds=4.0,  # else the model that is left does it all before the other machine has started
                tuning={"gpus_per_model_actor": 1, "model_actors": 2, "tokenizer_actors": 2},
            )
            loser.join()
        yield night


def test_a_cluster_without_machines_publishes_a_night(night: Night) -> None:
    assert night.found["status"] == "PUBLISHED", night.found
    assert night.found["scored"] == 2 * SLICES_PER_MODEL * 4
    assert "2 model actors, 2 tokenizers, on CUDA" in night.found["said"]
    assert verify(f"s3://{OUT}")[1] == []


def test_machines_are_asked_for_while_the_plan_is_made(night: Night) -> None:
    assert "machines started before the model was there" in night.seen, night.seen


def test_another_machine_takes_the_place_of_one_that_is_lost(night: Night) -> None:
    assert "another machine came" in night.seen, night.seen
    assert len(night.found["rows_by_node"]) == 3


def test_machines_end_while_the_result_is_still_being_published(night: Night) -> None:
    assert "all machines ended before the result was published" in night.seen, night.seen
