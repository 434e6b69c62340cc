"""Input, output and checkpoint on a real S3 server on loopback."""

import datetime as dt
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs
from rich.console import Console

from pipeline_lib.errors import BusyError, GateError, InputError, InputNotReadyError
from pipeline_lib.execution.local_executor import LocalExecutor
from pipeline_lib.inputs.formats.parquet_shards import ParquetRows
from pipeline_lib.inputs.shards import Slice
from pipeline_lib.planning.discovery import discover
from pipeline_lib.planning.planner import make_plan, refresh_plan
from pipeline_lib.publishing.files.joining import Hooks
from pipeline_lib.publishing.night_statistics import night_statistics
from pipeline_lib.publishing.publisher import publish
from pipeline_lib.publishing.verifier import verify
from pipeline_lib.reporting.terminal.progress import Progress
from pipeline_lib.settings.settings import Settings
from pipeline_lib.storage.records import METRICS, REPORT, RUNS, Receipt
from pipeline_lib.storage.urls import location_of
from tests.conftest import Runner, SettingsMaker
from tests.helpers.stores.s3_proxy import S3Proxy
from tests.helpers.stores.servers import s3_at

TEXTS = [f"review {row}" for row in range(30)]


@pytest.fixture(scope="module")
def s3(s3_server: str) -> s3fs.S3FileSystem:
    """A file system on the server, with two buckets."""
    del s3_server
    fs = s3fs.S3FileSystem()
    fs.mkdir("reviews")
    fs.mkdir("scores")
    return fs


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_shards_on_s3_are_scored_and_published_on_s3(
    kind: str, s3: s3fs.S3FileSystem, settings_for: SettingsMaker, run_job: Runner, run_here: Runner
) -> None:
    frame = pd.DataFrame({"id": range(30), "text": TEXTS})
    with s3.open(f"reviews/{kind}/a.{kind}", "wb") as file:
        frame.to_parquet(file) if kind == "parquet" else frame.to_csv(file, index=False)
    settings = settings_for(
        input={"path": f"s3://reviews/{kind}/*.{kind}"},
        output={"path": f"s3://scores/{kind}"},
        tuning={"rows_per_slice": 12},
    )
    outcome = (run_job if kind == "parquet" else run_here)(settings)
    assert (outcome.status, outcome.scored) == ("PUBLISHED", 30)
    manifest, problems = verify(f"s3://scores/{kind}")
    assert problems == []
    assert len(manifest.slices) == 3
    assert pd.read_parquet(f"s3://scores/{kind}").shape[0] == 30
    assert run_job(settings).status == "COMPLETE"
    assert not s3.exists(f"scores/{kind}/_staging")


def test_a_checkpoint_in_a_bucket_gives_the_same_answers(
    s3: s3fs.S3FileSystem, checkpoint: Path, settings_for: SettingsMaker
) -> None:
    from pipeline_lib import Scorer

    s3.put(str(checkpoint) + "/", "reviews/model/", recursive=True)
    frame = pd.DataFrame({"text": TEXTS})
    here = Scorer(settings_for())(frame)
    there = Scorer(settings_for(model={"name": "s3://reviews/model"}))(frame)
    assert here.equals(there)


def test_a_missing_bucket_is_a_clear_error(s3: s3fs.S3FileSystem, settings_for: SettingsMaker) -> None:
    del s3
    with pytest.raises(InputError, match=r"no file matches 's3://nobody/\*\.parquet'"):
        make_plan(discover(settings_for(input={"path": "s3://nobody/*.parquet"})))


def test_a_day_that_is_not_there_yet_can_be_waited_for(s3: s3fs.S3FileSystem, settings_for: SettingsMaker) -> None:
    del s3
    with pytest.raises(InputNotReadyError, match="ds=2026-11-22"):
        make_plan(
            discover(
                settings_for(input={"path": "s3://reviews/ds=2026-11-22/*.parquet"}), date=dt.date(2026, 11, 22)
            )
        )


def test_a_truncated_shard_on_s3_is_named(s3: s3fs.S3FileSystem, settings_for: SettingsMaker) -> None:
    s3.pipe_file("reviews/bad/a.parquet", b"PAR1 not really")
    with pytest.raises(InputError, match=r"s3://reviews/bad/a\.parquet|reviews/bad/a\.parquet"):
        make_plan(discover(settings_for(input={"path": "s3://reviews/bad"})))


def test_parts_on_s3_are_plain_parquet(s3: s3fs.S3FileSystem) -> None:
    part = s3.glob("scores/parquet/part-*.parquet")[0]
    with s3.open(part, "rb") as file:
        assert pq.read_table(file).column_names == ["id", "label", "score", "n_tokens", "truncated"]


def test_where_etags_are_no_hashes_of_the_content_those_kept_prove_it_all_the_same(
    s3: s3fs.S3FileSystem, proxy: S3Proxy, settings_for: SettingsMaker, run_here: Runner
) -> None:
    proxy.other_etags = True
    settings = settings_for(
        input={"path": f"s3://{many(s3, 'parquet', 2)}"},
        output={"path": "s3://scores/keyed"},
        tuning={"rows_per_slice": 10},
    )
    run_here(settings)
    proxy.seen.clear()
    assert make_plan(discover(settings)).complete
    assert proxy.count("part-") == 0
    assert verify("s3://scores/keyed")[1] == []


def test_interrupted_while_it_publishes_on_s3_the_next_run_ends_with_the_same_bytes(
    s3: s3fs.S3FileSystem, settings_for: SettingsMaker, run_here: Runner
) -> None:
    settings = settings_for(
        input={"path": f"s3://{many(s3, 'csv', 2)}"},
        output={"path": "s3://scores/broken-off"},
        tuning={"rows_per_slice": 10},
    )

    def published() -> dict[str, bytes]:
        files = s3.find("scores/broken-off")
        # Records of single runs hold times.
        return {
            path: s3.cat_file(path) for path in files if not any(own in path for own in (RUNS, METRICS, REPORT))
        }

    run_here(settings)
    undisturbed = published()
    for stop_at in (1, 2):
        s3.rm("scores/broken-off", recursive=True)
        confirmed: list[int] = []

        def confirm(stop_at: int = stop_at, confirmed: list[int] = confirmed) -> None:
            confirmed.append(1)
            if len(confirmed) == stop_at:
                raise BusyError

        with pytest.raises(BusyError):
            stage_and_publish(settings, confirm)
        assert run_here(settings).rows_this_run == 0
        assert published() == undisturbed


def stage_and_publish(settings: Settings, confirm: Callable[[], None]) -> None:
    """Score in this process and publish for as long as that is confirmed."""
    plan = make_plan(discover(settings))
    results = [result for _, result in LocalExecutor().results([plan], Progress(Console(quiet=True)))]
    receipts = [result for result in results if isinstance(result, Receipt)]
    staged = [*plan.finished, *receipts]
    publish(plan, staged, Hooks(confirm), night_statistics(plan, staged))


@pytest.fixture
def proxy(s3: s3fs.S3FileSystem, s3_server: str) -> Iterator[S3Proxy]:
    """A proxy before the server that counts what comes by."""
    del s3
    with S3Proxy(s3_server) as found, s3_at(found.endpoint):
        yield found


def many(s3: s3fs.S3FileSystem, kind: str, shards: int) -> str:
    """Write shards of 40 rows and return their folder."""
    folder = f"reviews/{kind}-{shards}"
    for shard in range(shards):
        frame = pd.DataFrame({"id": range(40), "text": [f"review {shard} {row}" for row in range(40)]})
        with s3.open(f"{folder}/{shard}.{kind}", "wb") as file:
            frame.to_parquet(file) if kind == "parquet" else frame.to_csv(file, index=False)
    return folder


@pytest.mark.parametrize("kind", ["parquet", pytest.param("csv", marks=pytest.mark.slow)])
def test_a_run_with_nothing_to_do_asks_as_little_of_many_shards_and_parts_as_of_few(
    kind: str, s3: s3fs.S3FileSystem, proxy: S3Proxy, settings_for: SettingsMaker, run_here: Runner
) -> None:
    asked = []
    for shards in (1, 5):
        settings = settings_for(
            input={"path": f"s3://{many(s3, kind, shards)}"},
            output={"path": f"s3://scores/few-{kind}-{shards}"},
            tuning={"rows_per_slice": 10},
        )
        run_here(settings)
        proxy.seen.clear()
        plan = make_plan(discover(settings))
        assert plan.complete
        assert plan.slices == 4 * shards
        asked.append(len(proxy.seen))
        assert proxy.count("part-") == 0
        assert proxy.count(f".{kind}") == 0
    # One listing and two records of the output; the rest looks at the input's folder, whatever it holds.
    assert asked[0] == asked[1] <= 16


def test_a_resume_reads_each_receipt_once_and_no_part(
    s3: s3fs.S3FileSystem, proxy: S3Proxy, settings_for: SettingsMaker, run_here: Runner
) -> None:
    folder = many(s3, "csv", 3)
    s3.pipe_file(f"{folder}/bad.csv", b"id,text\n1,2,3\n")
    job = {
        "input": {"path": f"s3://{folder}"},
        "output": {"path": "s3://scores/resume"},
        "tuning": {"rows_per_slice": 10},
    }
    with pytest.raises(GateError):
        run_here(settings_for(**job, limits={"max_reject_rate": 0.0}))
    settings = settings_for(**job, limits={"max_reject_rate": 1.0})
    proxy.seen.clear()
    discovery = discover(settings)
    plan = refresh_plan(make_plan(discovery), discovery)
    assert not plan.todo
    receipts = [request.path for request in proxy.seen if ".json" in request.path and "part-" in request.path]
    assert len(receipts) == len(set(receipts)) == plan.slices == 13
    assert not [request for request in proxy.seen if "part-" in request.path and ".parquet" in request.path]
    assert run_here(settings).rows_this_run == 0


@pytest.mark.slow
def test_a_part_that_was_changed_in_the_bucket_is_found_without_being_asked_for_and_made_again(
    s3: s3fs.S3FileSystem, settings_for: SettingsMaker, run_here: Runner
) -> None:
    for kind in ("parquet", "csv"):
        settings = settings_for(
            input={"path": f"s3://{many(s3, kind, 2)}"},
            output={"path": f"s3://scores/changed-{kind}", "rows_per_file": 10},
            tuning={"rows_per_slice": 10},
        )
        run_here(settings)
        part = f"scores/changed-{kind}/part-00001-000000010.parquet"
        before = s3.cat_file(part)
        s3.pipe_file(part, before[:-20] + bytes(20))
        assert run_here(settings).rows_this_run == 10
        assert s3.cat_file(part) == before
        assert verify(settings.output.path)[1] == []


def test_of_a_wide_shard_little_more_than_the_wanted_columns_is_downloaded(
    s3: s3fs.S3FileSystem, proxy: S3Proxy
) -> None:
    rows = 20_000
    wide = {f"x{column}": [os.urandom(50).hex() for _ in range(rows)] for column in range(6)}
    table = pa.table({"id": range(rows), **wide, "text": [f"review {row}" * 3 for row in range(rows)]})
    for groups in (rows, 2_000):
        with s3.open("reviews/wide.bin", "wb") as file:
            pq.write_table(table, file, row_group_size=groups)
        shard = location_of("s3://reviews/wide.bin")
        proxy.seen.clear()
        read = ParquetRows(shard, ["id", "text"])(Slice(0, 10_000, 1_000))
        assert read.equals(table.select(["id", "text"]).slice(10_000, 1_000))
        answered = sum(request.answered for request in proxy.seen if request.method == "GET")
        assert answered < 2_000_000 < s3.size("reviews/wide.bin") / 5
        assert len(proxy.seen) < 12


@pytest.mark.parametrize("name", ["st?r", "st*r", "st[1]r", "a b+c%2F", "ünï"])
def test_an_output_of_any_name_is_published_in_that_very_place(
    name: str, s3: s3fs.S3FileSystem, settings_for: SettingsMaker, run_here: Runner
) -> None:
    beside = ["names/stxr/_staging/keep", "names/st1r/_staging/keep"]
    for path in beside:
        s3.pipe_file(f"scores/{path}", b"theirs")
    settings = settings_for(
        input={"path": f"s3://{many(s3, 'parquet', 1)}"}, output={"path": f"s3://scores/names/{name}"}
    )
    assert run_here(settings).status == "PUBLISHED"
    files = [path.removeprefix(f"scores/names/{name}/") for path in s3.find(f"scores/names/{name}")]
    assert sorted(file for file in files if not file.startswith(RUNS)) == [
        "_SUCCESS",
        "_manifest.json",
        "_metrics.json",
        "_report.html",
        "part-00000-000000000.parquet",
    ]
    assert run_here(settings).status == "COMPLETE"
    assert verify(settings.output.path)[1] == []
    assert all(s3.cat_file(f"scores/{path}") == b"theirs" for path in beside)


def test_a_folder_that_a_console_made_is_an_empty_one(
    s3: s3fs.S3FileSystem, settings_for: SettingsMaker, run_here: Runner
) -> None:
    for key in ("made/", "made/_rejects/"):
        s3.call_s3("put_object", Bucket="scores", Key=key, Body=b"")
    settings = settings_for(input={"path": f"s3://{many(s3, 'parquet', 1)}"}, output={"path": "s3://scores/made"})
    assert run_here(settings).status == "PUBLISHED"
    assert run_here(settings).status == "COMPLETE"
    assert verify("s3://scores/made")[1] == []
