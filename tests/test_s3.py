"""Input, output and checkpoint on a real S3 server on loopback."""

import datetime as dt
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
import s3fs
from conftest import Runner, SettingsMaker

from pipeline_lib.errors import InputError, InputNotReadyError
from pipeline_lib.planner import look, make_plan
from pipeline_lib.verifier import verify

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
    kind: str, s3: s3fs.S3FileSystem, settings_for: SettingsMaker, run_job: Runner
) -> None:
    frame = pd.DataFrame({"id": range(30), "text": TEXTS})
    with s3.open(f"reviews/{kind}/a.{kind}", "wb") as file:
        frame.to_parquet(file) if kind == "parquet" else frame.to_csv(file, index=False)
    settings = settings_for(
        input={"path": f"s3://reviews/{kind}/*.{kind}"},
        output={"path": f"s3://scores/{kind}"},
        tuning={"rows_per_slice": 12},
    )
    outcome = run_job(settings)
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
        make_plan(look(settings_for(input={"path": "s3://nobody/*.parquet"})))


def test_a_day_that_is_not_there_yet_can_be_waited_for(s3: s3fs.S3FileSystem, settings_for: SettingsMaker) -> None:
    del s3
    with pytest.raises(InputNotReadyError, match="ds=2026-11-22"):
        make_plan(
            look(settings_for(input={"path": "s3://reviews/ds=2026-11-22/*.parquet"}), date=dt.date(2026, 11, 22))
        )


def test_a_truncated_shard_on_s3_is_named(s3: s3fs.S3FileSystem, settings_for: SettingsMaker) -> None:
    s3.pipe_file("reviews/bad/a.parquet", b"PAR1 not really")
    with pytest.raises(InputError, match=r"s3://reviews/bad/a\.parquet|reviews/bad/a\.parquet"):
        make_plan(look(settings_for(input={"path": "s3://reviews/bad"})))


def test_parts_on_s3_are_plain_parquet(s3: s3fs.S3FileSystem) -> None:
    part = s3.glob("scores/parquet/part-*.parquet")[0]
    with s3.open(part, "rb") as file:
        assert pq.read_table(file).column_names == ["id", "label", "score", "n_tokens", "truncated"]
