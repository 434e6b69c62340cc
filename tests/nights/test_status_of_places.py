"""`status` of nights on disks and in buckets, wherever the date is in their paths."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest
import s3fs
from rich.console import Console

from pipeline_lib import pipeline
from pipeline_lib.execution.local_executor import LocalExecutor
from pipeline_lib.nights.status import nights_status
from pipeline_lib.reporting.terminal.progress import Progress
from pipeline_lib.storage.urls import location_of
from tests.conftest import SettingsMaker
from tests.helpers.command_line import error_line, nightscore
from tests.helpers.stores.s3_proxy import S3Proxy
from tests.helpers.stores.servers import s3_at

NOW = dt.datetime(2026, 11, 25, 3, tzinfo=dt.UTC)


TEMPLATES = [
    ("in/{date}", "out/ds={date}"),
    ("in/{date}/*.csv", "out/{date}/scores/"),
    ("in/{date}.csv", "out/{date}/{date}-scored"),
    ("in/ds={date}/", "{date}"),
    (["in/{date}", "more/{date}/x.csv"], "out-{date}"),
    ("same/*.csv", "of/{date}"),
]
DATES = [dt.date(2026, 10, 31), dt.date(2026, 11, 1), dt.date(2026, 11, 2)]


@pytest.fixture(scope="module")
def bucket(s3_server: str) -> s3fs.S3FileSystem:
    """A bucket on the server."""
    del s3_server
    store = s3fs.S3FileSystem()
    store.mkdir("nights")
    return store


@pytest.fixture(params=["disk", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where inputs and outputs are."""
    if request.param == "disk":
        yield str(tmp_path)
    else:
        store = request.getfixturevalue("bucket")
        yield "s3://nights/some"
        store.invalidate_cache()
        store.rm("nights/some", recursive=True)


def write_csv(root: str, path: str) -> None:
    """Write a shard of one row."""
    name = f"{root}/{path if path.endswith('.csv') else path.rstrip('/') + '/a.csv'}".replace("*", "a")
    location_of(name).write(b"text\nhello\n")


@pytest.mark.parametrize(("source", "target"), TEMPLATES)
def test_the_date_may_be_anywhere_in_the_paths(
    source: str | list[str], target: str, root: str, settings_for: SettingsMaker
) -> None:
    sources = [source] if isinstance(source, str) else source
    settings = settings_for(
        input={"path": [f"{root}/{path}" for path in sources]}, output={"path": f"{root}/{target}"}
    )
    for date in DATES[:2]:
        for path in sources:
            write_csv(root, path.replace("{date}", str(date)))
    pipeline.run(settings, DATES[0], Progress(Console(quiet=True)), LocalExecutor())
    states = [found.state for found in nights_status(settings, DATES, NOW)]
    assert states == ["published", "missing", "missing" if source == "same/*.csv" else "no_input"]


def test_on_s3_many_nights_cost_two_listings_and_a_small_read_each(
    bucket: s3fs.S3FileSystem, s3_server: str, settings_for: SettingsMaker
) -> None:
    dates = [dt.date(2026, 10, 20) + dt.timedelta(days=day) for day in range(30)]
    settings = settings_for(
        input={"path": "s3://nights/reviews/ds={date}/*.csv"}, output={"path": "s3://nights/scores/ds={date}"}
    )
    for date in dates[:25]:
        bucket.pipe_file(f"nights/reviews/ds={date}/a.csv", b"text\nhello\n")
    for date in (dates[0], dates[-8], dates[-7]):
        pipeline.run(settings, date, Progress(Console(quiet=True)), LocalExecutor())
    with S3Proxy(s3_server) as proxy, s3_at(proxy.endpoint):
        found = nights_status(settings, dates, NOW)
    assert [each.state for each in found] == [
        *["published"],
        *["missing"] * 21,
        *["published"] * 2,
        *["missing"],
        *["no_input"] * 5,
    ]
    assert proxy.count("GET") == len(proxy.seen) == 2 + 3
    assert proxy.count("list-type=2") == 2
    assert sum(request.answered for request in proxy.seen) < 40_000


def test_an_output_bucket_that_does_not_exist_is_one_line(
    bucket: s3fs.S3FileSystem, tmp_path: Path, settings_for: SettingsMaker
) -> None:
    del bucket
    settings = settings_for(output={"path": "s3://nobodys-bucket/{date}"})
    (tmp_path / "job.yaml").write_text(settings.model_dump_json())
    assert "nobodys-bucket" in error_line(nightscore("status", str(tmp_path / "job.yaml")))
