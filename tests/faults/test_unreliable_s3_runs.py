"""Whole runs against unreliable stores: the bytes of an undisturbed run, whatever becomes of requests."""

import hashlib
import os
from collections.abc import Iterator

import pandas as pd
import pytest
import s3fs

from pipeline_lib.errors import FaultError, OutputError
from pipeline_lib.planning.discovery import discover
from pipeline_lib.planning.planner import make_plan
from pipeline_lib.publishing.verifier import verify
from pipeline_lib.settings.settings import Settings
from pipeline_lib.storage.urls import location_of
from tests.conftest import Runner, SettingsMaker
from tests.helpers.stores.s3_faults import RandomFaults, always
from tests.helpers.stores.s3_proxy import Fault, S3Proxy
from tests.helpers.stores.servers import rclone_server, s3_at

BUCKET = f"unreliable-runs-{os.getpid()}"
ROWS = 24


@pytest.fixture(scope="module", params=["moto", pytest.param("rclone", marks=pytest.mark.slow)])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Two real servers, with a shard of 24 rows each, one of which is rejected."""
    if request.param == "moto":
        endpoint = request.getfixturevalue("s3_server")
        fill(endpoint)
        yield endpoint
    else:
        with rclone_server(tmp_path_factory.mktemp("served")) as endpoint:
            fill(endpoint)
            yield endpoint


def fill(endpoint: str) -> None:
    """Make a bucket with a shard."""
    with s3_at(endpoint):
        fs = s3fs.S3FileSystem()
        fs.mkdir(BUCKET)
        with fs.open(f"{BUCKET}/in/a.parquet", "wb") as file:
            texts = [f"review {row}" if row else None for row in range(ROWS)]
            pd.DataFrame({"id": range(ROWS), "text": texts}).to_parquet(file)


@pytest.fixture
def proxy(server: str) -> Iterator[S3Proxy]:
    """A proxy before the server, where libraries look for it."""
    with S3Proxy(server) as proxy, s3_at(proxy.endpoint):
        yield proxy


@pytest.fixture
def settings(proxy: S3Proxy, settings_for: SettingsMaker) -> Settings:
    """Settings of a job from a bucket to an empty folder of it."""
    del proxy
    location_of(f"s3://{BUCKET}/out").remove_tree()
    return settings_for(
        input={"path": f"s3://{BUCKET}/in"},
        output={"path": f"s3://{BUCKET}/out"},
        tuning={"rows_per_slice": 8},
    )


def with_logits(settings: Settings) -> Settings:
    """Return the settings of another version with other slices."""
    return settings.model_copy(
        update={
            "output": settings.output.model_copy(update={"logits": True}),
            "tuning": settings.tuning.model_copy(update={"rows_per_slice": 12}),
        }
    )


def published(settings: Settings) -> dict[str, str]:
    """Return the hash of all but the records of single runs."""
    folder = location_of(settings.output.path)
    names = [name for name in folder.files() if not name.startswith(("_runs/", "_metrics.json", "_report.html"))]
    return {name: hashlib.sha256((folder / name).read() or b"").hexdigest() for name in names}


def look(settings: Settings, proxy: S3Proxy) -> None:
    """List the output; stale listings will be this one."""
    proxy.keeps_listings = True
    location_of(settings.output.path).files()
    proxy.keeps_listings = False


def stop(proxy: S3Proxy) -> None:
    """End all faults."""
    proxy.answer = lambda _method, _path: None


def test_what_was_published_since_a_listing_is_neither_scored_again_nor_replaced_unasked(
    settings: Settings, proxy: S3Proxy, run_here: Runner
) -> None:
    look(settings, proxy)  # a listing of the empty output
    run_here(settings)
    before = published(settings)
    proxy.answer = always("list-type", Fault.STALE)
    assert location_of(settings.output.path).files() == {}
    assert make_plan(discover(settings)).complete
    assert run_here(settings).status == "COMPLETE"
    assert verify(settings.output.path)[1] == []
    with pytest.raises(OutputError, match="holds version"):
        run_here(with_logits(settings))
    stop(proxy)
    assert published(settings) == before


def test_with_listings_that_show_nothing_new_a_run_publishes_the_same_and_leaves_nothing_staged(
    settings: Settings, proxy: S3Proxy, run_here: Runner
) -> None:
    run_here(settings)
    undisturbed = published(settings)
    location_of(settings.output.path).remove_tree()
    look(settings, proxy)
    proxy.answer = always("list-type", Fault.STALE)
    assert run_here(settings).status == "PUBLISHED"
    assert proxy.faults()[Fault.STALE] > 2
    stop(proxy)
    assert published(settings) == undisturbed


def test_a_version_that_a_listing_does_not_show_is_replaced_as_a_whole(
    settings: Settings, proxy: S3Proxy, run_here: Runner
) -> None:
    run_here(with_logits(settings))
    undisturbed = published(settings)
    location_of(settings.output.path).remove_tree()
    look(settings, proxy)
    run_here(settings)
    proxy.answer = always("list-type", Fault.STALE)  # it shows the empty folder
    assert run_here(with_logits(settings), replace=True).status == "PUBLISHED"
    stop(proxy)
    assert published(settings) == undisturbed
    assert verify(settings.output.path)[1] == []


def test_files_that_are_gone_and_still_listed_hinder_no_run(
    settings: Settings, proxy: S3Proxy, run_here: Runner
) -> None:
    run_here(settings)
    undisturbed = published(settings)
    look(settings, proxy)  # a listing with all of it
    location_of(settings.output.path).remove_tree()
    proxy.answer = always("list-type", Fault.STALE)
    assert run_here(settings).rows_this_run == ROWS
    stop(proxy)
    assert published(settings) == undisturbed


@pytest.mark.slow
def test_through_random_faults_runs_end_well_or_as_faults_that_may_pass_and_then_with_the_same_bytes(
    settings: Settings, proxy: S3Proxy, run_here: Runner
) -> None:
    run_here(settings)
    undisturbed = published(settings)
    for seed in range(3):
        location_of(settings.output.path).remove_tree()
        proxy.answer = RandomFaults(seed)
        for _ in range(20):
            try:
                run_here(settings)
            except FaultError:
                continue
            break
        stop(proxy)
        assert run_here(settings).status == "COMPLETE"
        assert published(settings) == undisturbed
    assert set(proxy.faults()) <= set(Fault)
    assert len(proxy.faults()) > 4
