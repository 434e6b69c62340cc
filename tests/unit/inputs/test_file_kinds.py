"""Kinds of files: shards are read, companions passed over, other data and tables with a log refused."""

from pathlib import Path

import pytest

from pipeline_lib.errors import InputError
from pipeline_lib.inputs.discovery.file_kinds import file_kind
from pipeline_lib.planning.discovery import discover
from tests.conftest import SettingsMaker, write_parquet
from tests.helpers.shard_listing import notices_of, shards_of, touch


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.parquet", "shard"),
        ("A.PQ", "shard"),
        ("a.parq", "shard"),
        ("a.csv.gz", "shard"),
        ("a.TSV.BZ2", "shard"),
        ("a.jsonl.zst", "shard"),
        ("a.jsonl", "shard"),
        ("a.csv.xz", "data"),
        ("a.csv.lz4", "data"),
        ("a.parquet.gz", "data"),
        ("a.orc", "data"),
        ("a.zip", "data"),
        ("part-00000", "data"),
        ("000000_0", "data"),
        ("notices.jsonl", "shard"),
        ("authors.json", "data"),
        ("readme.csv.gz", "shard"),
        ("license-plates", "data"),
        ("README", "companion"),
        ("dataset_info.json", "companion"),
        ("LICENSE.txt", "companion"),
        ("notes.md", "companion"),
        ("a.parquet.crc", "companion"),
        ("SHA256SUMS", "companion"),
        ("notes.txt", "unknown"),
        ("a.parquet.tmp", "unknown"),
        ("a.csv~", "unknown"),
    ],
)
def test_every_name_is_of_one_kind(name: str, kind: str) -> None:
    assert file_kind(f"some/where/{name}") == kind


@pytest.mark.parametrize("other", ["b.json", "b.csv.xz", "deep/b.orc", "part-00000", "b.parquet.gz", "b.xlsx"])
@pytest.mark.parametrize("path", ["in", "in/**"])
def test_data_that_would_be_missed_is_an_error_that_names_it(other: str, path: str, tmp_path: Path) -> None:
    touch(tmp_path, "in/a.csv", f"in/{other}")
    with pytest.raises(
        InputError, match=rf"holds '.*/in/{other}', which look like data.*such as '.*/in/\*\*/\*\.csv'"
    ):
        shards_of(tmp_path, path)
    assert shards_of(tmp_path, "in/**/*.csv") == ["in/a.csv"]


def test_companions_are_passed_over_and_unknown_kinds_are_named(tmp_path: Path) -> None:
    touch(tmp_path, "a.csv", "README", "notes.md", "_SUCCESS", "_metadata", ".a.csv.crc", "b.csv.tmp", "SHA256SUMS")
    assert shards_of(tmp_path) == ["a.csv"]
    assert notices_of(tmp_path) == "not read, since their kind is not known: 'b.csv.tmp'"


def test_parquet_by_its_other_endings_is_read(tmp_path: Path, settings_for: SettingsMaker) -> None:
    write_parquet(tmp_path / "in" / "a.pq", {"text": ["x"]})
    write_parquet(tmp_path / "in" / "b.PARQ", {"text": ["x"]})
    assert len(discover(settings_for()).headers) == 2
    (tmp_path / "in" / "c.pq").write_text("no Parquet")
    with pytest.raises(InputError, match=r"c\.pq' is not a whole Parquet file"):
        discover(settings_for())


@pytest.mark.parametrize(
    ("log", "shard", "table"),
    [
        ("in/_delta_log/00000000000000000000.json", "in/part-0.parquet", "a Delta table"),
        ("in/_delta_log/00000000000000000000.json", "in/ds=1/h=2/part-0.parquet", "a Delta table"),
        ("in/sub/_delta_log/0.json", "in/sub/part-0.parquet", "a Delta table"),
        ("in/metadata/v1.metadata.json", "in/data/ds=1/0.parquet", "an Iceberg table"),
        ("in/metadata/00000-ab.metadata.json", "in/data/0.parquet", "an Iceberg table"),
        ("in/.hoodie/hoodie.properties", "in/0.parquet", "a Hudi table"),
    ],
)
def test_a_table_with_a_log_is_refused_wherever_it_is_entered(
    log: str, shard: str, table: str, tmp_path: Path
) -> None:
    touch(tmp_path, log, shard)
    for path in ("in", shard.rpartition("/")[0], f"{shard.rpartition('/')[0]}/*.parquet", "in/**/*.parquet"):
        with pytest.raises(InputError, match=rf"holds files of {table}.*export the table.*one by one"):
            shards_of(tmp_path, path)
    assert shards_of(tmp_path, shard) == [shard]
