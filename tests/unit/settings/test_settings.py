"""Settings: what is allowed, what is said when it is not, and dates and overrides."""

import datetime as dt
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline_lib.errors import FaultError, SettingsError
from pipeline_lib.settings.setting_names import known_keys
from pipeline_lib.settings.settings_file import load_settings, parse_settings, settings_schema

MINIMAL: dict[str, Any] = {"model": {"name": "m"}, "input": {"path": "in"}, "output": {"path": "out"}}


def write(folder: Path, text: str) -> Path:
    path = folder / "job.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_only_the_three_names_are_required() -> None:
    settings = parse_settings(MINIMAL)
    assert settings.input.paths == ["in"]
    assert settings.limits.max_reject_rate == 0.05
    assert settings.model.precision == "float32"


@pytest.mark.parametrize("section", ["model", "input", "output"])
def test_a_missing_section_is_named(section: str) -> None:
    values = {name: value for name, value in MINIMAL.items() if name != section}
    with pytest.raises(SettingsError, match=f"'{section}' is required"):
        parse_settings(values)


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("model.precison", "model.precision"),
        ("input.textcolumn", "input.text_column"),
        ("output.logit", "output.logits"),
        ("tuning.rows_per_slices", "tuning.rows_per_slice"),
        ("limit.max_reject_rate", "limits.max_reject_rate"),
        ("input.csv.encodin", "input.csv.encoding"),
        ("tuning.device", "tuning.gpus_per_model_actor"),
        ("model.device", "tuning.gpus_per_model_actor"),
        ("tuning.batch_size", "tuning.tokens_per_batch"),
        ("model.torch_dtype", "model.precision"),
        ("text_column", "input.text_column"),
    ],
)
def test_an_unknown_key_names_the_nearest_known_one(key: str, nearest: str, tmp_path: Path) -> None:
    path = write(tmp_path, "model: {name: m}\ninput: {path: in}\noutput: {path: out}\n")
    with pytest.raises(
        SettingsError, match=f"did you mean '{nearest}'|did you mean '{nearest.split('.', maxsplit=1)[0]}'"
    ):
        load_settings(path, [f"{key}=1"])


@pytest.mark.parametrize("key", ["tuning.colour", "model.zzz", "limits.path_of_nothing"])
def test_where_no_key_is_near_the_known_ones_are_listed(key: str, tmp_path: Path) -> None:
    path = write(tmp_path, "model: {name: m}\ninput: {path: in}\noutput: {path: out}\n")
    section = key.partition(".")[0]
    with pytest.raises(SettingsError, match=rf"unknown setting '{key}' \(known: '{section}\."):
        load_settings(path, [f"{key}=1"])


def laughs(levels: int) -> str:
    """Return YAML whose aliases stand for ten to the power of so many values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, levels)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("levels", [5, 9, 40])
def test_aliases_without_bound_are_refused_at_once(levels: int, tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(SettingsError, match="not valid YAML: more than 10,000 values"):
        load_settings(write(tmp_path, laughs(levels)))
    one_line = (
        "["
        + ", ".join([f"&b{level} [{', '.join([f'*b{level - 1}' if level else 'x'] * 10)}]" for level in range(9)])
        + "]"
    )
    with pytest.raises(SettingsError, match="not a YAML value: more than 10,000 values"):
        load_settings(write(tmp_path, "model: {name: m}\n"), [f"input.path={one_line}"])
    assert time.monotonic() - began < 5


def test_a_few_aliases_are_no_error(tmp_path: Path) -> None:
    text = "model: {name: &here m}\ninput: {path: *here}\noutput: {path: out}\n"
    assert load_settings(write(tmp_path, text)).input.path == "m"


def test_every_wrong_setting_is_told_at_once() -> None:
    values = {**MINIMAL, "limits": {"max_reject_rate": 7}, "output": {"path": "out", "scores": "some"}}
    with pytest.raises(SettingsError, match=r"output\.scores: .*; limits\.max_reject_rate: "):
        parse_settings(values)


def test_overrides_reach_every_depth_and_are_read_as_yaml(tmp_path: Path) -> None:
    path = write(tmp_path, "model: {name: m}\ninput: {path: in}\noutput: {path: out}\n")
    overrides = ["output.logits=true", "input.keep_columns=[a, b]", "input.csv.delimiter=;", "model.revision="]
    settings = load_settings(path, overrides)
    assert settings.output.logits is True
    assert settings.input.keep_columns == ["a", "b"]
    assert settings.input.csv.delimiter == ";"
    assert settings.model.revision is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: {name: a}\nmodel: {name: b}\n", "'model' is set twice"),
        ("model: [\n", "not valid YAML"),
        ("just words\n", "expected sections"),
        ("", "expected sections"),
        ("a: !!python/object/apply:os.system ['true']\n", "not valid YAML"),
    ],
)
def test_a_file_that_is_no_settings_file_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=message):
        load_settings(write(tmp_path, text))


@pytest.mark.parametrize("override", ["model.name", "=x", "model.name.x=1", "model=[1"])
def test_an_override_that_is_none_is_refused(override: str, tmp_path: Path) -> None:
    path = write(tmp_path, "model: {name: m}\ninput: {path: in}\noutput: {path: out}\n")
    with pytest.raises(SettingsError):
        load_settings(path, [override])


def test_a_date_fills_every_path() -> None:
    values = {**MINIMAL, "input": {"path": ["a/{date}", "b"]}, "output": {"path": "out/ds={date}"}}
    settings = parse_settings(values).on_date(dt.date(2026, 11, 22))
    assert settings.input.paths == ["a/2026-11-22", "b"]
    assert settings.output.path == "out/ds=2026-11-22"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32-le", "nonsense"])
def test_encodings_that_can_not_be_sliced_are_refused(encoding: str) -> None:
    with pytest.raises(SettingsError, match=r"input\.csv\.encoding"):
        parse_settings({**MINIMAL, "input": {"path": "in", "csv": {"encoding": encoding}}})


def test_the_pair_must_be_another_column_than_the_text() -> None:
    with pytest.raises(SettingsError, match="the same column"):
        parse_settings({**MINIMAL, "input": {"path": "in", "text_pair_column": "text"}})


def test_every_setting_explains_itself() -> None:
    def undescribed(schema: dict[str, Any]) -> list[str]:
        sections = schema["$defs"].values()
        fields = [(name, field) for section in sections for name, field in section["properties"].items()]
        return [name for name, field in fields if "$ref" not in field and "description" not in field]

    assert undescribed(settings_schema()) == []
    assert len(known_keys()) > 20


SECRET_URLS = [
    "s3://me:zqsecret@bucket/in",
    "s3://me:zq/secret@bucket/in",
    "s3://me:zq secret@bucket/in",
    "simplecache::http://me:zqsecret@host/in",
    "zip://a.csv::ftp://me:zqsecret@host/in.zip",
    "https://zqsecret@host/in",
    "https://host/in?X-Amz-Signature=zqsecret&n=1",
    "https://host/in?x%2Damz%2Dsecurity%2Dtoken=zqsecret",
    "https://host/in?sv=1&sig=zqsecret",
    "gs://bucket/in?AWSAccessKeyId=zqsecret",
    "https://host/in#access_token=zqsecret",
    "https://host/in?from=https%3A%2F%2Fme%3Azqsecret%40host",
]


@pytest.mark.parametrize("url", SECRET_URLS)
@pytest.mark.parametrize("key", ["model.name", "input.path", "input.path[1]", "output.path"])
def test_a_secret_in_a_url_is_refused_and_not_told(key: str, url: str) -> None:
    section, _, name = key.partition(".")
    value = ["in", url] if name.endswith("]") else url
    values = {**MINIMAL, section: {name.removesuffix("[1]"): value}}
    with pytest.raises(SettingsError, match="has a password, token or signature in it") as caught:
        parse_settings(values)
    assert not [word for word in ("zqsecret", "secret@", "zq/", "zq ") if word in str(caught.value)]


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket/a@b/c:d",
        "abfs://container@account.dfs.core.windows.net/in",
        "sftp://me@host/in",
        "http://localhost:9000/in/a@b",
        "http://[::1]:9000/in/a@b",
        "s3://bucket/key=1/token=2/*.parquet",
        "s3://bucket/day=[0-9]?/*.parquet",
        "in/me:you@there.csv",
    ],
)
def test_a_url_without_a_secret_is_no_secret(url: str) -> None:
    assert parse_settings({**MINIMAL, "input": {"path": url}}).input.paths == [url]


def test_what_a_library_says_of_a_url_is_masked_too() -> None:
    said = "403, url='https://host/a?X-Amz-Credential=zqsecret&n=1' by proxy http://me:zqsecret@proxy:3128"
    assert str(FaultError(said)) == (
        "403, url='https://host/a?X-Amz-Credential=...&n=1' by proxy http://...@proxy:3128"
    )


def test_partition_columns_are_all_or_a_list() -> None:
    for value in ("all", ["ds"], [], None):
        given = parse_settings({**MINIMAL, "input": {"path": "in", "partition_columns": value}})
        assert given.input.partition_columns == value
    with pytest.raises(
        SettingsError, match=r"input\.partition_columns: expected all, or a list of names such as \[ds\]"
    ):
        parse_settings({**MINIMAL, "input": {"path": "in", "partition_columns": "ds"}})


def test_values_of_the_truth_stand_for_labels_as_yaml_reads_them(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "model: {name: m}\noutput: {path: out}\ninput:\n  path: in\n  truth_column: stars\n"
        "  truth_labels: {1: NEGATIVE, 3: null, 4.5: POSITIVE, five: POSITIVE}\n",
    )
    assert load_settings(path).input.truth_labels == {
        "1": "NEGATIVE",
        "3": None,
        "4.5": "POSITIVE",
        "five": "POSITIVE",
    }


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        ({"truth_labels": {"1": "a"}}, "truth_labels needs truth_column, the column that has these values"),
        ({"truth_column": "x", "truth_labels": {True: "a"}}, "YAML reads a key as True; write it in quotes"),
        ({"truth_column": "x", "truth_labels": {None: "a"}}, "YAML reads a key as None"),
        ({"truth_column": "x", "truth_labels": {"1": 1}}, "input.truth_labels.1: Input should be a valid string"),
        ({"truth_column": "x", "truth_labels": ["a"]}, "input.truth_labels: Input should be a valid dictionary"),
        ({"truth_column": ""}, "input.truth_column"),
    ],
)
def test_a_truth_that_makes_no_sense_is_refused(truth: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        parse_settings({**MINIMAL, "input": {"path": "in", **truth}})


def test_a_night_to_compare_with_is_a_date_of_an_output_with_dates(tmp_path: Path) -> None:
    dated = {**MINIMAL, "output": {"path": "out/{date}"}}
    for given in (dt.date(2026, 11, 1), "2026-11-01"):
        settings = parse_settings({**dated, "limits": {"reference_date": given}})
        assert settings.limits.reference_date == dt.date(2026, 11, 1)
    path = write(tmp_path, "model: {name: m}\ninput: {path: in}\noutput: {path: 'out/{date}'}\n")
    settings = load_settings(path, ["limits.reference_date=2026-11-01"])
    assert settings.limits.reference_date == dt.date(2026, 11, 1)
    assert parse_settings(settings.model_dump(mode="json")) == settings
    for wrong in ("yesterday", 7, "2026-02-30"):
        with pytest.raises(SettingsError, match=r"limits\.reference_date"):
            parse_settings({**dated, "limits": {"reference_date": wrong}})
    with pytest.raises(
        SettingsError, match=r"limits\.reference_date is a night, but output.path has no {date} in it"
    ):
        parse_settings({**MINIMAL, "limits": {"reference_date": "2026-11-01"}})
