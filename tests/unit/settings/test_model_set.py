"""Several models in a settings file: an ordinary job for each, and what is said of a list that is wrong."""

from pathlib import Path
from typing import Any

import pytest

from pipeline_lib.errors import SettingsError
from pipeline_lib.settings.settings_file import load_jobs, load_settings, parse_jobs, parse_settings

TWO = [{"as": "tone", "name": "org/tone"}, {"as": "topic", "name": "org/topic", "precision": "bfloat16"}]
OTHERS: dict[str, Any] = {"input": {"path": "in/{date}"}, "output": {"path": "out/{date}/", "scores": "all"}}


def test_each_model_is_the_job_that_a_file_of_its_own_would_be() -> None:
    jobs = parse_jobs({"models": TWO, **OTHERS})
    assert list(jobs) == ["tone", "topic"]
    assert jobs["topic"] == parse_settings(
        {
            "model": {"name": "org/topic", "precision": "bfloat16"},
            "input": OTHERS["input"],
            "output": {"path": "out/{date}/topic", "scores": "all", "column_prefix": "topic_"},
        }
    )


def test_a_file_with_one_model_is_one_job_without_a_name() -> None:
    values = {"model": {"name": "org/tone"}, **OTHERS}
    assert parse_jobs(values) == {"": parse_settings(values)}


def test_a_model_is_chosen_and_set_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text("models: [{as: a, name: x}, {as: b, name: y}]\ninput: {path: in}\noutput: {path: out}\n")
    jobs = load_jobs(path, ["models.b.precision=float16", "output.logits=true"], "b")
    assert list(jobs) == ["b"]
    assert jobs["b"].model.precision == "float16"
    assert load_jobs(path, ["models.b.precision=float16"])["a"].model.precision == "float32"
    with pytest.raises(SettingsError, match=r"names several models .'a', 'b'., and one is needed here"):
        load_settings(path)
    with pytest.raises(
        SettingsError, match=r"--set 'models.c.name=z': there is no model 'c'; the models are 'a', 'b'"
    ):
        load_jobs(path, ["models.c.name=z"])


@pytest.mark.parametrize(
    ("models", "others", "message"),
    [
        ([], {}, "models: List should have at least 1 item"),
        (
            {"tone": {"name": "x"}},
            {},
            "models: expected a list of entries such as {as: sentiment, name: org/model}",
        ),
        (["org/tone"], {}, "models.0: Input should be a valid dictionary"),
        ([{"name": "x"}], {}, "'models.0.as' is required"),
        ([{"as": "tone"}], {}, "'models.0.name' is required"),
        ([{"as": "2nd", "name": "x"}], {}, "models.0.as: String should match pattern"),
        ([{"as": "a/b", "name": "x"}], {}, "models.0.as: String should match pattern"),
        ([{"as": "a" * 33, "name": "x"}], {}, "models.0.as: String should have at most 32 characters"),
        ([{"as": "a", "name": "x"}, {"as": "a", "name": "y"}], {}, "models: two models are named 'a'"),
        ([{"as": "a", "name": "x"}, {"as": "A", "name": "y"}], {}, "models: two models are named 'A' and 'a'"),
        ([{"as": "a", "nmae": "x"}], {}, "unknown setting 'models.0.nmae'; did you mean 'models.0.name'?"),
        (TWO, {"model": {"name": "x"}}, "model and models are both there"),
        (TWO, {"output": {"path": "out", "column_prefix": "a_"}}, "output.column_prefix is for one model"),
        (TWO, {"input": {"path": "in", "truth_column": "stars"}}, "input.truth_column is for one model"),
        (
            [{**TWO[0], "truth_labels": {1: "bad"}}],
            {},
            "models.tone: input: truth_labels needs truth_column",
        ),
        (
            [TWO[0], {"as": "cut", "name": "x", "long_texts": "windows"}],
            {"input": {"path": "in", "text_pair_column": "b"}},
            "models.cut: model.long_texts: windows are for single texts",
        ),
    ],
)
def test_what_is_wrong_with_models_is_named(models: Any, others: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as error:
        parse_jobs({**OTHERS, "models": models, **others})
    assert message in str(error.value)


def test_a_name_under_model_says_where_names_belong() -> None:
    with pytest.raises(
        SettingsError, match=r"unknown setting 'model\.as'; it is the name of one of several models"
    ):
        parse_jobs({"model": {"name": "x", "as": "tone"}, **OTHERS})
