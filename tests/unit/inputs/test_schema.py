"""The columns of all shards become one schema, and what would lose values is refused."""

import pyarrow as pa
import pytest

from pipeline_lib.errors import InputError
from pipeline_lib.inputs.schema import unify_schemas
from pipeline_lib.settings.sections.input import InputSettings


def schema(**types: pa.DataType) -> pa.Schema:
    return pa.schema(list(types.items()))


TEXT = InputSettings(path="in")


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
