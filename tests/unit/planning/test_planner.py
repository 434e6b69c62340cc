"""The plan: the output that it may use, and the numbers of its shards, which stay when a run is continued."""

import dataclasses
import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from rich.console import Console

from pipeline_lib.errors import OutputError
from pipeline_lib.execution.local_executor import LocalExecutor
from pipeline_lib.inputs.shards import Shard
from pipeline_lib.planning.discovery import discover
from pipeline_lib.planning.planner import make_plan
from pipeline_lib.planning.resume.shard_numbers import assign
from pipeline_lib.publishing.publisher import prepare_output
from pipeline_lib.reporting.terminal.progress import Progress
from pipeline_lib.storage.location import FileStamp
from pipeline_lib.storage.records import Receipt
from tests.conftest import Runner, SettingsMaker, write_parquet
from tests.helpers.watching.published import published_hashes


def test_an_output_folder_with_data_of_others_is_refused(tmp_path: Path, settings_for: SettingsMaker) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"text": ["x"]})
    write_parquet(tmp_path / "out" / "theirs.parquet", {"x": [1]})
    with pytest.raises(OutputError, match=r"already holds 'theirs\.parquet'"):
        make_plan(discover(settings_for()))


def test_a_number_that_was_given_stays_and_is_given_once() -> None:
    def numbers(paths: str, receipts: dict[str, int], kept: dict[str, int]) -> list[int]:
        stamp = FileStamp(1, "x")
        shards = [Shard(at, path, "parquet", stamp, "etag:x", 1, ("text",), 8) for at, path in enumerate(paths)]
        return [shard.number for shard in assign(tuple(shards), receipts, kept)]

    assert numbers("abc", {}, {}) == [0, 1, 2]
    assert numbers("abc", {"b": 1}, {"a": 0, "b": 1, "c": 2}) == [0, 1, 2]
    assert numbers("abcd", {"b": 1}, {"a": 0, "b": 1, "c": 2}) == [0, 1, 2, 3]
    assert numbers("0ab", {}, {"a": 0, "b": 1}) == [2, 0, 1]
    assert numbers("abc", {"b": 0}, {"a": 0, "c": 1}) == [2, 0, 1], "the names of parts come before the record"
    assert numbers("abc", {}, {"a": 3, "b": 3}) == [3, 4, 5], "a record that gives a number twice"


def test_a_run_that_scored_the_longest_shard_alone_is_ended_with_the_same_bytes(
    tmp_path: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"text": ["x"]})
    write_parquet(tmp_path / "in" / "b.parquet", {"text": pa.array([], pa.string())})
    write_parquet(tmp_path / "in" / "c.parquet", {"text": ["y"] * 20})
    settings = settings_for(tuning={"rows_per_slice": 8})
    run_here(settings)
    undisturbed = published_hashes(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    plan = make_plan(discover(settings))
    prepare_output(plan)
    of_longest_shard = dataclasses.replace(plan, shards=plan.shards[-1:])
    _, receipt = next(LocalExecutor().results([of_longest_shard], Progress(Console(quiet=True))))
    assert isinstance(receipt, Receipt)
    assert (receipt.shard, receipt.rows) == (2, 8)
    run_here(settings)
    assert published_hashes(tmp_path / "out") == undisturbed
