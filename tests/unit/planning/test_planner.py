"""The plan: columns across all shards, and every mistake named before work starts."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline_lib.checkpoints.checkpoint import Checkpoint
from pipeline_lib.engines.computation import TOKENS_PER_BATCH, computation_of
from pipeline_lib.engines.inspection.inspector import inspect_checkpoint
from pipeline_lib.errors import InputError, InputNotReadyError, NightscoreError, OutputError
from pipeline_lib.inputs.discovery.listing import find_shards
from pipeline_lib.inputs.reader import Reader
from pipeline_lib.inputs.schema import unify_schemas
from pipeline_lib.inputs.shards import Shard
from pipeline_lib.planning.discovery import discover
from pipeline_lib.planning.planner import make_plan
from pipeline_lib.planning.resume.shard_numbers import assign
from pipeline_lib.planning.version import fingerprint_of, version_of
from pipeline_lib.publishing.publisher import prepare_output
from pipeline_lib.publishing.writer import Writer
from pipeline_lib.scoring.classifier import Classifier
from pipeline_lib.scoring.tokenizer import Tokenizer
from pipeline_lib.settings.settings import Device, InputSettings, Settings
from pipeline_lib.storage.location import FileStamp
from tests.conftest import Runner, SettingsMaker, write_parquet
from tests.helpers.killing import tree


def schema(**types: pa.DataType) -> pa.Schema:
    return pa.schema(list(types.items()))


TEXT = InputSettings(path="in")
DEVICES: tuple[Device, ...] = ("cpu", "cuda")


def test_a_column_that_some_shards_lack_is_kept_and_told() -> None:
    shards = {"a": schema(text=pa.string(), stars=pa.int8()), "b": schema(text=pa.string())}
    output_schema, notices = unify_schemas(shards, TEXT)
    assert output_schema.kept_fields == [pa.field("stars", pa.int8())]
    assert notices == ("column 'stars' is in 1 of 2 shards and null for the others",)


def test_only_types_that_lose_nothing_become_one_column() -> None:
    texts = {"a": schema(text=pa.string(), x=pa.null()), "b": schema(text=pa.large_string(), x=pa.decimal128(9, 2))}
    output_schema, _ = unify_schemas(texts, TEXT)
    assert output_schema.kept_fields[0].type == pa.decimal128(9, 2)
    widths = {"a": schema(text=pa.string(), x=pa.string()), "b": schema(text=pa.string(), x=pa.large_string())}
    assert unify_schemas(widths, TEXT)[0].kept_fields[0].type == pa.large_string()


@pytest.mark.parametrize(
    ("left", "right"),
    [(pa.int64(), pa.float64()), (pa.int32(), pa.int64()), (pa.string(), pa.int64()), (pa.date32(), pa.date64())],
)
def test_types_that_would_lose_values_are_refused_by_shard(left: pa.DataType, right: pa.DataType) -> None:
    shards = {"a": schema(text=pa.string(), x=left), "b": schema(text=pa.string(), x=right)}
    with pytest.raises(InputError, match=r"column 'x' has types that can't be one column: .* in 'a'; .* in 'b'"):
        unify_schemas(shards, TEXT)


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
    unify_schemas({"a": schema(text=kind)}, TEXT)


@pytest.mark.parametrize(
    "kind", [pa.int64(), pa.binary(), pa.list_(pa.string()), pa.dictionary(pa.int8(), pa.int8())]
)
def test_a_text_column_of_another_type_is_refused(kind: pa.DataType) -> None:
    with pytest.raises(InputError, match=r"column 'text' of 'a' is .*; it must be string"):
        unify_schemas({"a": schema(text=kind)}, TEXT)


def test_texts_that_stand_where_a_header_should_are_in_no_message() -> None:
    """The first row of a shard without a header, with a word in it that is the name of a column."""
    header = schema(text=pa.string(), stars=pa.string())
    row = pa.schema([(name, pa.string()) for name in ("text", "zqsecret words", "stars.")])
    _, notices = unify_schemas({"a": header, "b": row}, TEXT)
    assert "column (not shown: no plain name) is in 1 of 2 shards and null for the others" in notices
    assert "zqsecret" not in str(notices)
    for settings in (
        InputSettings(path="in", text_column="zqsecret word"),
        InputSettings(path="in", keep_columns=["zqsecret word"]),
    ):
        with pytest.raises(InputError, match="has no column 'zqsecret word'") as caught:
            unify_schemas({"b": row}, settings)
        assert "zqsecret words" not in str(caught.value)


def test_a_text_column_missing_in_any_shard_is_refused() -> None:
    shards = {f"{number}": schema(text=pa.string()) for number in range(40)} | {"late": schema(txt=pa.string())}
    with pytest.raises(InputError, match="'late' has no column 'text'; did you mean 'txt'"):
        unify_schemas(shards, TEXT)


def test_kept_columns_come_in_the_order_asked_for() -> None:
    output_schema, _ = unify_schemas(
        {"a": schema(text=pa.string(), x=pa.int8(), y=pa.int8())},
        InputSettings(path="in", keep_columns=["y", "text", "x"]),
    )
    assert [field.name for field in output_schema.kept_fields] == ["y", "text", "x"]


def test_names_that_would_collide_after_renaming_are_refused() -> None:
    with pytest.raises(InputError, match="two kept columns would be named 'input_label'"):
        unify_schemas({"a": schema(text=pa.string(), label=pa.int8(), input_label=pa.int8())}, TEXT)


def test_reserved_and_repeated_names_are_refused() -> None:
    with pytest.raises(InputError, match="'__row__' are reserved"):
        unify_schemas({"a": schema(text=pa.string(), __row__=pa.int8())}, TEXT)
    twice = pa.schema([("text", pa.string()), ("x", pa.int8()), ("x", pa.int8())])
    with pytest.raises(InputError, match="several columns named 'x'"):
        unify_schemas({"a": twice}, TEXT)


def test_folders_globs_and_lists_name_each_shard_once(tmp_path: Path) -> None:
    for name in ("b/2.parquet", "a/1.parquet", "_old/3.parquet", ".hidden.parquet"):
        write_parquet(tmp_path / name, {"text": ["x"]})
    (tmp_path / "a" / "notes.txt").write_text("no shard")
    (tmp_path / "c.csv.gz").write_bytes(b"")
    found = find_shards([str(tmp_path), f"{tmp_path}/*/*.parquet", f"{tmp_path}/a/1.parquet"], dated=False).stamps
    assert [path.removeprefix(f"{tmp_path}/") for path in found] == ["a/1.parquet", "b/2.parquet", "c.csv.gz"]


def test_a_file_with_brackets_in_its_name_is_a_file_and_no_glob(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "day[1].parquet", {"text": ["x"]})
    assert list(find_shards([str(path)], dated=False).stamps) == [str(path)]


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
        find_shards([f"{tmp_path}/{path}"], dated=False)


def test_a_missing_day_can_be_waited_for(tmp_path: Path) -> None:
    with pytest.raises(InputNotReadyError) as caught:
        find_shards([f"{tmp_path}/ds=2026-11-22"], dated=True)
    assert caught.value.exit_code == 5


def test_an_output_folder_with_data_of_others_is_refused(tmp_path: Path, settings_for: SettingsMaker) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"text": ["x"]})
    write_parquet(tmp_path / "out" / "theirs.parquet", {"x": [1]})
    with pytest.raises(OutputError, match=r"already holds 'theirs\.parquet'"):
        make_plan(discover(settings_for()))


def test_the_version_follows_what_decides_a_score_and_nothing_else(
    tmp_path: Path, settings_for: SettingsMaker
) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"text": ["x"]})

    def version(**sections: dict[str, object]) -> str:
        return make_plan(discover(settings_for(**sections))).version

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


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_version_follows_the_kind_of_device_and_not_the_engine_that_this_machine_would_use_on_its_cpus(
    tmp_path: Path, settings_for: SettingsMaker, precision: str
) -> None:
    """A run begun on CPUs and resumed on GPUs must not join; two drivers of one GPU cluster must agree."""
    write_parquet(tmp_path / "in" / "a.parquet", {"text": ["x"]})
    discovery = discover(settings_for(model={"precision": precision, "engine": "torch"}))
    on_cpu, on_gpu = make_plan(discovery, "cpu"), make_plan(discovery, "cuda")
    assert on_cpu.version != on_gpu.version
    checkpoint = on_gpu.checkpoint
    engines = [dataclasses.replace(checkpoint, cpu_engine=engine) for engine in ("torch", "openvino")]
    cpu, gpu = (
        {
            version_of(
                fingerprint_of(
                    discovery.settings,
                    each,
                    discovery.output_schema,
                    computation_of(discovery.settings, each, device),
                )
            )
            for each in engines
        }
        for device in DEVICES
    )
    assert (len(cpu), len(gpu)) == (2, 1)


def test_packed_rows_are_planned_where_the_gpus_get_them_right_and_what_was_begun_goes_on_as_it_was(
    tmp_path: Path, settings_for: SettingsMaker
) -> None:
    """Another layout moves scores in half precision: so it is in the version, and known before work starts."""
    write_parquet(tmp_path / "in" / "a.parquet", {"text": ["x"]})
    settings = settings_for(model={"precision": "bfloat16"})
    asked: list[str] = []

    def gpus_answer(right: bool) -> Callable[[Settings, Checkpoint], bool]:
        def answer(_: Settings, checkpoint: Checkpoint) -> bool:
            asked.append(checkpoint.architecture)
            return right

        return answer

    packed = make_plan(discover(settings), "cuda", gpus_answer(True))
    padded = make_plan(discover(settings), "cuda", gpus_answer(False))
    assert (packed.computation.layout, padded.computation.layout) == ("packed", "padded")
    assert packed.version != padded.version
    assert len(asked) == 2
    make_plan(discover(settings), "cpu", gpus_answer(True))
    make_plan(discover(settings_for(model={"precision": "float32"})), "cuda", gpus_answer(True))
    assert len(asked) == 2  # nothing to ask
    staged = tmp_path / "out" / "_staging" / padded.version
    staged.mkdir(parents=True)
    (staged / "_shards.json").write_text("{}")
    assert make_plan(discover(settings), "cuda", gpus_answer(True)).version == padded.version
    assert len(asked) == 2


def test_below_float32_the_version_follows_the_libraries_that_compute(settings_for: SettingsMaker) -> None:
    """Their kernels move scores in half precision by a thousandth; in float32 by the last digit."""
    settings = {name: settings_for(model={"precision": name}) for name in ("float32", "bfloat16", "auto")}
    checkpoint = inspect_checkpoint(settings["float32"])
    libraries = {name: computation_of(each, checkpoint, "cpu").libraries for name, each in settings.items()}
    assert libraries["float32"] == ()
    assert libraries["auto"] == libraries["bfloat16"]
    assert [words.split()[0] for words in libraries["bfloat16"]][:2] == ["torch", "transformers"]


def test_the_version_has_the_token_budget_that_was_resolved(settings_for: SettingsMaker) -> None:
    checkpoint = inspect_checkpoint(settings_for())
    stated = settings_for(tuning={"tokens_per_batch": TOKENS_PER_BATCH["cuda"]})
    assert computation_of(settings_for(), checkpoint, "cuda") == computation_of(stated, checkpoint, "cuda")
    assert computation_of(settings_for(), checkpoint, "cpu") != computation_of(stated, checkpoint, "cpu")


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


def test_kept_columns_are_told_from_predictions_whatever_their_case() -> None:
    shards = {"a": schema(text=pa.string(), Label=pa.string(), SCORE=pa.float64(), row=pa.int8())}
    output_schema, notices = unify_schemas(shards, TEXT)
    assert [field.name for field in output_schema.kept_fields] == ["input_Label", "input_SCORE", "input_row"]
    assert "column 'Label' is kept as 'input_Label', since 'label' is a column of the output" in notices


def test_kept_columns_that_differ_by_case_alone_are_named() -> None:
    shards = {"a": schema(text=pa.string(), id=pa.int8()), "b": schema(text=pa.string(), ID=pa.int8())}
    _, notices = unify_schemas(shards, TEXT)
    assert notices[0].startswith(
        "the columns 'id', 'ID' differ by case alone, which DuckDB, Spark and Athena don't"
    )
    renamed = {"a": schema(text=pa.string(), label=pa.int8(), Input_Label=pa.int8())}
    assert "the columns 'input_label', 'Input_Label' differ by case alone" in " ".join(
        unify_schemas(renamed, TEXT)[1]
    )


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
    undisturbed = tree(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    plan = make_plan(discover(settings))
    prepare_output(plan)
    read, tokenize = Reader(plan.settings.input, plan.output_schema), Tokenizer(plan)
    classify = Classifier(plan)
    longest = max(plan.todo, key=lambda part: part.rows)
    Writer(plan)(classify(tokenize(read(plan.shard(longest.shard), longest))), longest)
    run_here(settings)
    assert tree(tmp_path / "out") == undisturbed
