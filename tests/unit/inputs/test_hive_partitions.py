"""Columns in the names of folders: decoded, kept as text if the settings ask for them, else named."""

from pathlib import Path
from typing import Any

import pytest

from pipeline_lib.errors import InputError
from pipeline_lib.inputs.hive_partitions import partition_values
from pipeline_lib.planning.discovery import discover
from pipeline_lib.settings.sections.input import InputSettings
from tests.conftest import Runner, SettingsMaker, read_output, write_parquet

HIVE = "{}/ds=2026-11-22/city=S%C3%A3o%20Paulo%2FSul/a.parquet"


def test_values_in_folders_are_decoded() -> None:
    kept = InputSettings(path="in", partition_columns="all")
    assert partition_values(HIVE, kept) == {"ds": "2026-11-22", "city": "São Paulo/Sul"}
    assert partition_values("/x/a=__HIVE_DEFAULT_PARTITION__/b=/c", kept) == {"a": None, "b": ""}
    assert partition_values("/x/a=1=2/b", kept) == {"a": "1=2"}
    some = InputSettings(path="in", partition_columns=["city", "ds"])
    assert list(partition_values(HIVE, some)) == ["city", "ds"]
    assert partition_values(HIVE, InputSettings(path="in")) == {}
    for path in ("/x/a=1/a=2/b", "/x/a=%FF/b"):
        with pytest.raises(InputError):
            partition_values(path, kept)


def test_columns_in_folders_are_kept_as_text_beside_the_others(
    tmp_path: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    write_parquet(tmp_path / "in/ds=01/city=__HIVE_DEFAULT_PARTITION__/a.parquet", {"id": [1], "text": ["x"]})
    (tmp_path / "in" / "ds=02").mkdir()
    (tmp_path / "in" / "ds=02" / "b.csv").write_text("id,text\n2,y\n")
    options = {"csv": {"column_types": {"id": "int64"}}}
    outcome = run_here(settings_for(input={"partition_columns": "all", "keep_columns": ["id"], **options}))
    assert outcome.status == "PUBLISHED"
    rows = read_output(tmp_path / "out").select(["id", "ds", "city"]).to_pylist()
    assert sorted(rows, key=lambda row: row["id"]) == [
        {"id": 1, "ds": "01", "city": None},
        {"id": 2, "ds": "02", "city": None},
    ]


def test_columns_in_folders_that_are_not_kept_are_named(tmp_path: Path, settings_for: SettingsMaker) -> None:
    write_parquet(tmp_path / "in" / "ds=01" / "hour=2" / "a.parquet", {"text": ["x"]})
    assert "the folders 'ds=...', 'hour=...' are not kept as columns; see input.partition_columns" in (
        discover(settings_for()).notices
    )
    spelled = {"path": str(tmp_path / "in" / "ds=01"), "partition_columns": ["hour"]}
    assert discover(settings_for(input=spelled)).notices == ()
    with pytest.raises(InputError, match=r"has no column 'ds'; see input\.partition_columns"):
        discover(settings_for(input={"keep_columns": ["ds"]}))


@pytest.mark.parametrize(
    ("columns", "wanted", "message"),
    [
        (["text", "DS"], "all", r"has a column 'DS' of its own beside the folder 'ds=...'"),
        (["text"], ["day"], r"has no folder 'day=\.\.\.'"),
        (["text"], ["dss"], r"has no folder 'dss=\.\.\.'; did you mean 'ds'"),
    ],
)
def test_columns_in_folders_that_can_not_be_kept_are_refused(
    columns: list[str], wanted: Any, message: str, tmp_path: Path, settings_for: SettingsMaker
) -> None:
    write_parquet(tmp_path / "in" / "ds=01" / "a.parquet", {name: ["x"] for name in columns})
    with pytest.raises(InputError, match=message):
        discover(settings_for(input={"partition_columns": wanted}))


def test_a_folder_is_no_text_column(tmp_path: Path, settings_for: SettingsMaker) -> None:
    write_parquet(tmp_path / "in" / "note=x" / "a.parquet", {"text": ["x"]})
    with pytest.raises(InputError, match="'note' is a folder of"):
        discover(settings_for(input={"partition_columns": "all", "text_column": "note"}))
