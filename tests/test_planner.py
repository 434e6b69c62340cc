"""The plan: columns across all shards, and every mistake named before work starts."""

from pathlib import Path

import pyarrow as pa
import pytest
from conftest import SettingsMaker, write_parquet

from pipeline_lib.config import InputSettings
from pipeline_lib.errors import InputError, InputNotReadyError, NightscoreError, OutputError
from pipeline_lib.layout import lay_out
from pipeline_lib.listing import list_shards
from pipeline_lib.planner import look, make_plan


def schema(**types: pa.DataType) -> pa.Schema:
    return pa.schema(list(types.items()))


TEXT = InputSettings(path="in")


def test_a_column_that_some_shards_lack_is_kept_and_told() -> None:
    shards = {"a": schema(text=pa.string(), stars=pa.int8()), "b": schema(text=pa.string())}
    layout, notices = lay_out(shards, TEXT)
    assert layout.kept_fields == [pa.field("stars", pa.int8())]
    assert notices == ("column 'stars' is in 1 of 2 shards and null for the others",)


def test_only_types_that_lose_nothing_become_one_column() -> None:
    texts = {"a": schema(text=pa.string(), x=pa.null()), "b": schema(text=pa.large_string(), x=pa.decimal128(9, 2))}
    layout, _ = lay_out(texts, TEXT)
    assert layout.kept_fields[0].type == pa.decimal128(9, 2)
    widths = {"a": schema(text=pa.string(), x=pa.string()), "b": schema(text=pa.string(), x=pa.large_string())}
    assert lay_out(widths, TEXT)[0].kept_fields[0].type == pa.large_string()


@pytest.mark.parametrize(
    ("left", "right"),
    [(pa.int64(), pa.float64()), (pa.int32(), pa.int64()), (pa.string(), pa.int64()), (pa.date32(), pa.date64())],
)
def test_types_that_would_lose_values_are_refused_by_shard(left: pa.DataType, right: pa.DataType) -> None:
    shards = {"a": schema(text=pa.string(), x=left), "b": schema(text=pa.string(), x=right)}
    with pytest.raises(InputError, match=r"column 'x' has types that can't be one column: .* in 'a'; .* in 'b'"):
        lay_out(shards, TEXT)


@pytest.mark.parametrize(
    "kind",
    [
        pa.string(),
        pa.large_string(),
        pa.string_view(),
        pa.null(),
        pa.dictionary(pa.int8(), pa.string()),
        pa.dictionary(pa.int32(), pa.large_string()),
    ],
)
def test_every_kind_of_text_column_is_accepted(kind: pa.DataType) -> None:
    lay_out({"a": schema(text=kind)}, TEXT)


@pytest.mark.parametrize(
    "kind", [pa.int64(), pa.binary(), pa.list_(pa.string()), pa.dictionary(pa.int8(), pa.int8())]
)
def test_a_text_column_of_another_type_is_refused(kind: pa.DataType) -> None:
    with pytest.raises(InputError, match=r"column 'text' of 'a' is .*; it must be string"):
        lay_out({"a": schema(text=kind)}, TEXT)


def test_a_text_column_missing_in_any_shard_is_refused() -> None:
    shards = {f"{number}": schema(text=pa.string()) for number in range(40)} | {"late": schema(txt=pa.string())}
    with pytest.raises(InputError, match="'late' has no column 'text'; did you mean 'txt'"):
        lay_out(shards, TEXT)


def test_kept_columns_come_in_the_order_asked_for() -> None:
    layout, _ = lay_out(
        {"a": schema(text=pa.string(), x=pa.int8(), y=pa.int8())},
        InputSettings(path="in", keep_columns=["y", "text", "x"]),
    )
    assert [field.name for field in layout.kept_fields] == ["y", "text", "x"]


def test_names_that_would_collide_after_renaming_are_refused() -> None:
    with pytest.raises(InputError, match="two kept columns would be named 'input_label'"):
        lay_out({"a": schema(text=pa.string(), label=pa.int8(), input_label=pa.int8())}, TEXT)


def test_reserved_and_repeated_names_are_refused() -> None:
    with pytest.raises(InputError, match="'__row__' are reserved"):
        lay_out({"a": schema(text=pa.string(), __row__=pa.int8())}, TEXT)
    twice = pa.schema([("text", pa.string()), ("x", pa.int8()), ("x", pa.int8())])
    with pytest.raises(InputError, match="several columns named 'x'"):
        lay_out({"a": twice}, TEXT)


def test_folders_globs_and_lists_name_each_shard_once(tmp_path: Path) -> None:
    for name in ("b/2.parquet", "a/1.parquet", "_old/3.parquet", ".hidden.parquet"):
        write_parquet(tmp_path / name, {"text": ["x"]})
    (tmp_path / "a" / "notes.txt").write_text("no shard")
    (tmp_path / "c.csv.gz").write_bytes(b"")
    found = list_shards([str(tmp_path), f"{tmp_path}/*/*.parquet", f"{tmp_path}/a/1.parquet"], dated=False)
    assert [path.removeprefix(f"{tmp_path}/") for path in found] == ["a/1.parquet", "b/2.parquet", "c.csv.gz"]


def test_a_file_with_brackets_in_its_name_is_a_file_and_no_glob(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "day[1].parquet", {"text": ["x"]})
    assert list(list_shards([str(path)], dated=False)) == [str(path)]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nothing", "no such file or folder: '{}/nothing'"),
        ("shards/one.parqet", r"did you mean '{}/shards/one.parquet'"),
        ("shards/*.csv", r"no file matches '{}/shards/\*.csv'"),
        ("empty", "the folder '{}/empty' holds no shard"),
        ("notes.txt", "'{}/notes.txt' is not one of '.parquet'"),
    ],
)
def test_a_path_that_leads_nowhere_is_explained(path: str, message: str, tmp_path: Path) -> None:
    write_parquet(tmp_path / "shards" / "one.parquet", {"text": ["x"]})
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InputError, match=message.format(tmp_path)):
        list_shards([f"{tmp_path}/{path}"], dated=False)


def test_a_missing_day_can_be_waited_for(tmp_path: Path) -> None:
    with pytest.raises(InputNotReadyError) as caught:
        list_shards([f"{tmp_path}/ds=2026-11-22"], dated=True)
    assert caught.value.exit_code == 5


def test_an_output_folder_with_data_of_others_is_refused(tmp_path: Path, settings_for: SettingsMaker) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"text": ["x"]})
    write_parquet(tmp_path / "out" / "theirs.parquet", {"x": [1]})
    with pytest.raises(OutputError, match=r"already holds 'theirs\.parquet'"):
        make_plan(look(settings_for()))


def test_the_version_follows_what_decides_a_score_and_nothing_else(
    tmp_path: Path, settings_for: SettingsMaker
) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"text": ["x"]})

    def version(**sections: dict[str, object]) -> str:
        return make_plan(look(settings_for(**sections))).version

    base = version()
    for same in (
        {"output": {"path": str(tmp_path / "elsewhere")}},
        {"tuning": {"model_actors": 7}},
        {"limits": {"max_reject_rate": 0.5}},
    ):
        assert version(**same) == base
    others = [
        version(**other)
        for other in (
            {"model": {"max_tokens": 10}},
            {"model": {"precision": "bfloat16"}},
            {"model": {"activation": "sigmoid"}},
            {"input": {"blank_texts": "reject"}},
            {"output": {"scores": "all"}},
            {"tuning": {"rows_per_slice": 10}},
            {"tuning": {"tokens_per_batch": 10}},
        )
    ]
    assert len({base, *others}) == len(others) + 1


def test_errors_carry_the_exit_code_of_who_can_mend_them() -> None:
    def below(kind: type[NightscoreError]) -> list[type[NightscoreError]]:
        return [kind, *(inner for child in kind.__subclasses__() for inner in below(child))]

    assert {kind.__name__: kind.exit_code for kind in below(NightscoreError)} == {
        "NightscoreError": 1,
        "FaultError": 1,
        "DeviceError": 1,
        "StorageFaultError": 1,
        "LostWorkerError": 1,
        "SettingsError": 2,
        "InputError": 2,
        "CheckpointError": 2,
        "OutputError": 2,
        "GateError": 3,
        "BusyError": 4,
        "InputNotReadyError": 5,
    }
