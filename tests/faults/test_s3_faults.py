"""Faults of an object store: passing ones are retried, and the others end the run in time, with one line."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import s3fs

from pipeline_lib.errors import FaultError, NightscoreError
from pipeline_lib.planning.discovery import discover
from pipeline_lib.publishing.verifier import verify
from pipeline_lib.settings.settings import Settings
from tests.conftest import Runner, SettingsMaker
from tests.helpers.command_line import error_line, nightscore
from tests.helpers.stores.s3_faults import always, first_times
from tests.helpers.stores.s3_proxy import Fault, S3Proxy, hang
from tests.helpers.stores.servers import s3_at

BUCKET = f"faults-{os.getpid()}"


@pytest.fixture(scope="module")
def store(s3_server: str) -> s3fs.S3FileSystem:
    """A bucket with a shard of twelve rows."""
    fs = s3fs.S3FileSystem(endpoint_url=s3_server)
    fs.mkdir(BUCKET)
    with fs.open(f"{BUCKET}/in/a.parquet", "wb") as file:
        pd.DataFrame({"text": [f"review {row}" for row in range(12)]}).to_parquet(file)
    return fs


@pytest.fixture
def proxy(store: s3fs.S3FileSystem, s3_server: str) -> Iterator[S3Proxy]:
    """A proxy before the server, where libraries look for it."""
    del store
    with S3Proxy(s3_server) as found, s3_at(found.endpoint):
        yield found


@pytest.fixture
def settings(settings_for: SettingsMaker, request: pytest.FixtureRequest) -> Settings:
    """Settings of a job from bucket to bucket."""
    out = f"s3://{BUCKET}/out-{abs(hash(request.node.name)) % 10**9}"
    return settings_for(input={"path": f"s3://{BUCKET}/in"}, output={"path": out}, tuning={"rows_per_slice": 6})


@pytest.mark.parametrize(
    "fault",
    [
        (2, "PUT /{}/out", 400, "ExpiredToken"),
        pytest.param((2, "GET /{}/in/a.parquet", 400, "ExpiredToken"), marks=pytest.mark.slow),
        pytest.param((4, "in/a.parquet", 500, "InternalError"), marks=pytest.mark.slow),
        pytest.param((4, ".parquet", 503, "SlowDown"), marks=pytest.mark.slow),
    ],
)
def test_a_passing_fault_of_the_store_in_a_worker_is_tried_again(
    fault: tuple[int, str, int, str], settings: Settings, proxy: S3Proxy, run_here: Runner
) -> None:
    times, word, status, code = fault
    seen = {"begun": False}
    fails = first_times(times, word.format(BUCKET), (status, code))

    def answer(method: str, path: str) -> tuple[int, str] | Fault | None:
        # The lease is the driver's; from the first part's shard on, the work is a worker's.
        seen["begun"] = seen["begun"] or (method == "PUT" and path.endswith("_lease.json"))
        return fails(method, path) if seen["begun"] and ".json" not in path and ".tmp" not in path else None

    proxy.answer = answer
    assert run_here(settings).status == "PUBLISHED"
    assert verify(settings.output.path)[1] == []


@pytest.mark.slow
def test_a_token_that_stays_expired_ends_the_run_as_a_fault_that_may_pass(
    settings: Settings, proxy: S3Proxy, run_here: Runner
) -> None:
    proxy.answer = lambda method, path: (
        (400, "ExpiredToken") if method == "PUT" and path.endswith(".parquet") else None
    )
    with pytest.raises(FaultError, match=r"writing failed: .*ExpiredToken") as told:
        run_here(settings)
    assert told.value.exit_code == 1
    assert proxy.count("PUT") > 3


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_an_endpoint_that_accepts_and_never_answers_is_given_up_within_a_minute(
    settings: Settings, proxy: S3Proxy
) -> None:
    proxy.answer = hang
    began = time.monotonic()
    with pytest.raises(FaultError, match=r"s3://.*failed: Read timeout") as told:
        discover(settings)
    assert time.monotonic() - began < 60
    assert "\n" not in str(told.value)


def test_a_store_that_fails_is_not_taken_for_one_without_the_file(
    settings_for: SettingsMaker, proxy: S3Proxy
) -> None:
    proxy.answer = always(f"HEAD /{BUCKET}/in/a.parquet", Fault.SLOW_DOWN)
    with pytest.raises(FaultError, match=r"listing the input failed") as told:
        discover(settings_for(input={"path": f"s3://{BUCKET}/in/a.parquet"}))
    assert told.value.exit_code == 1


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "AuthorizationHeaderMalformed"),
        (301, "PermanentRedirect"),
        (403, "AccessDenied"),
        (403, "InvalidAccessKeyId"),
        (403, "SignatureDoesNotMatch"),
        (404, "NoSuchBucket"),
    ],
)
@pytest.mark.parametrize("where", ["in", "out"])
def test_a_fault_that_only_a_person_can_fix_exits_2_with_one_line_before_work_starts(
    where: str, status: int, code: str, settings: Settings, proxy: S3Proxy
) -> None:
    def answer(_method: str, path: str) -> tuple[int, str] | None:
        return (status, code) if f"/{where}" in path or f"prefix={where}" in path else None

    proxy.answer = answer
    with pytest.raises(NightscoreError) as told:
        discover(settings)
    assert told.value.exit_code == 2, told.value
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("command", ["plan", "verify"])
def test_an_endpoint_without_a_scheme_is_refused_in_one_line(
    command: str, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "job.yaml").write_text(settings.model_dump_json())
    with s3_at("localhost:9000"):
        ended = nightscore(command, str(tmp_path / "job.yaml"))
    assert ended.stdout == ""
    line = error_line(ended)
    assert "Invalid endpoint: localhost:9000; an endpoint is a URL such as http://host:9000" in line


def test_an_output_bucket_that_does_not_exist_is_named_before_work_starts(
    settings_for: SettingsMaker, store: s3fs.S3FileSystem
) -> None:
    del store
    with pytest.raises(NightscoreError, match=r"'s3://nobodys-bucket/out': looking at the output failed") as told:
        discover(settings_for(input={"path": f"s3://{BUCKET}/in"}, output={"path": "s3://nobodys-bucket/out"}))
    assert told.value.exit_code == 2


def test_an_unknown_aws_profile_is_named(
    settings: Settings, proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    del proxy
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(NightscoreError, match="nobody") as told:
        discover(settings)
    assert told.value.exit_code == 2


def test_when_the_success_mark_cannot_be_deleted_the_published_version_stays(
    settings: Settings, proxy: S3Proxy, run_here: Runner, store: s3fs.S3FileSystem
) -> None:
    run_here(settings)
    out = settings.output.path.removeprefix("s3://")
    before = {path: info["ETag"] for path, info in store.find(f"{out}/", detail=True).items()}
    proxy.answer = lambda method, path: (
        (403, "AccessDenied") if method in ("DELETE", "HEAD") and path.endswith("_SUCCESS") else None
    )
    with pytest.raises(NightscoreError, match="publishing failed"):
        run_here(
            settings.model_copy(update={"output": settings.output.model_copy(update={"logits": True})}),
            replace=True,
        )
    store.invalidate_cache()
    after = {path: info["ETag"] for path, info in store.find(f"{out}/", detail=True).items()}
    # The failed run leaves its record and what it staged; all that readers see stays.
    assert {path: tag for path, tag in after.items() if path in before} == before
    assert all("/_staging/" in path or "/_runs/" in path for path in after.keys() - before.keys())
