"""Scoring tables and frames in memory: the same rows come back, scored."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pipeline_lib import Scorer
from pipeline_lib.errors import InputError, SettingsError
from tests.conftest import Runner, SettingsMaker, read_output, write_parquet
from tests.helpers.checkpoints import tiny_checkpoints as tiny
from tests.helpers.checkpoints.tiny_checkpoints import Recipe

TEXTS = ["good", None, "bad", "", "long " * 200, "🙂"]


@pytest.fixture(scope="module")
def scorer(checkpoint: Path) -> Scorer:
    return Scorer({"model": {"name": str(checkpoint)}, "output": {"scores": "all", "logits": True}})


def test_a_frame_comes_back_with_its_rows_its_index_and_its_columns(scorer: Scorer) -> None:
    frame = pd.DataFrame({"text": TEXTS, "id": range(6)}, index=list("abcdef"))
    found = scorer(frame)
    assert list(found.index) == list("abcdef")
    assert list(found.columns) == ["id", "label", "score", "scores", "logits", "n_tokens", "truncated", "reject"]
    assert found["id"].tolist() == list(range(6))
    assert found.loc["b", "reject"] == "null_text"
    assert found["label"].isna().tolist() == [False, True, False, False, False, False]
    assert found["truncated"].tolist() == [False, False, False, False, True, False]


def test_a_table_comes_back_as_a_table(scorer: Scorer) -> None:
    found = scorer(pa.table({"text": TEXTS}))
    assert found.schema.field("score").type == pa.float32()
    assert found.num_rows == 6


def test_no_rows_are_no_error(scorer: Scorer) -> None:
    assert scorer(pa.table({"text": pa.array([], pa.string())})).num_rows == 0


def test_rows_that_are_all_rejected_are_no_error(scorer: Scorer) -> None:
    assert scorer(pa.table({"text": pa.nulls(3)})).column("reject").to_pylist() == ["null_text"] * 3


def test_a_missing_text_column_is_named(scorer: Scorer) -> None:
    with pytest.raises(InputError, match="has no column 'text'; did you mean 'texts'"):
        scorer(pa.table({"texts": ["a"]}))


@hypothesis_settings(max_examples=25)
@given(order=st.permutations(range(12)), budget=st.integers(1, 400))
def test_a_score_depends_on_its_text_alone(order: list[int], budget: int, checkpoint: Path) -> None:
    """Whatever the neighbours, the order and the budget."""
    texts = [f"{'word ' * (row * 3)}number {row}" for row in range(12)]
    cut = Scorer({"model": {"name": str(checkpoint)}, "tuning": {"tokens_per_batch": budget}})
    straight = cut(pd.DataFrame({"text": texts}))["score"].to_numpy()
    shuffled = cut(pd.DataFrame({"text": [texts[row] for row in order]}))["score"].to_numpy()
    np.testing.assert_allclose(shuffled, straight[list(order)], rtol=0, atol=1e-5)


def test_blank_texts_are_rejected_if_asked(checkpoint: Path) -> None:
    strict = Scorer({"model": {"name": str(checkpoint)}, "input": {"blank_texts": "reject"}})
    found = strict(pd.DataFrame({"text": ["", " ", "\n\t", "\u3000", "x"]}))
    assert found["reject"].tolist()[:4] == ["blank_text"] * 4
    assert pd.isna(found["reject"].tolist()[4])


def test_broken_utf8_is_rejected_alone(scorer: Scorer) -> None:
    broken = pa.Array.from_buffers(pa.string(), 2, pa.array([b"ok", b"\xff"]).buffers())
    assert scorer(pa.table({"text": broken})).column("reject").to_pylist() == [None, "not_decodable"]


def test_the_job_and_the_library_give_the_same_rows(
    tmp_path: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    table = pa.table({"id": range(6), "text": TEXTS})
    write_parquet(tmp_path / "in" / "a.parquet", table)
    settings = settings_for(limits={"max_reject_rate": 1.0})
    run_here(settings)
    alone = Scorer(settings)(table)
    scored = alone.filter(pc.is_null(alone.column("reject"))).drop_columns(["reject"])
    assert read_output(tmp_path / "out").equals(scored)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["m"], r"expected a settings file, Settings, or sections such as .*, found list"),
        (None, r"expected a settings file, .*, found NoneType"),
        ("FOLDER", r"is a folder; expected a settings file; for a checkpoint, give \{'model': \{'name': '.*'\}\}"),
        ("org/model", r"'org/model' is no file; expected a settings file; for a checkpoint, give"),
        ("nowhere.yaml", r"no settings file 'nowhere\.yaml'"),
        (
            {"name": "m"},
            r"'model' is required, or 'models' for several; unknown setting 'name'; did you mean 'model\.name'\?",
        ),
        ({"model": "m"}, r"model: Input should be a valid dictionary \(found 'm'\)"),
        (
            {"model": {"name": "m"}, "text_column": "x"},
            r"unknown setting 'text_column'; did you mean 'input\.text_column'",
        ),
        ({"model": {"name": "m"}, "input": "x"}, r"input: Input should be a valid dictionary \(found 'x'\)"),
        (
            {"model": {"name": "m", "scores": "all"}},
            r"unknown setting 'model\.scores'; did you mean 'output\.scores'",
        ),
        ({1: 2}, r"unknown setting '1'"),
    ],
)
def test_what_is_not_settings_is_refused_with_what_was_expected(given: Any, message: str, checkpoint: Path) -> None:
    with pytest.raises(SettingsError, match=message):
        Scorer(str(checkpoint) if given == "FOLDER" else given)


@pytest.mark.parametrize("device", ["gpu", "tpu", 0, None])
def test_an_unknown_device_is_refused(device: Any, checkpoint: Path) -> None:
    with pytest.raises(SettingsError, match="is neither 'cpu' nor 'cuda'"):
        Scorer({"model": {"name": str(checkpoint)}}, device)


@pytest.mark.parametrize("rows", [["a"], "a", {"text": ["a"]}, pd.Series(["a"]), pa.array(["a"]), None])
def test_rows_that_are_not_a_table_are_refused(rows: Any, scorer: Scorer) -> None:
    with pytest.raises(
        TypeError, match=r"expected a pandas DataFrame or a pyarrow Table, found \w+; for texts alone"
    ):
        scorer(rows)


@pytest.mark.parametrize(
    "frame", [pd.DataFrame([["a", "b"]], columns=["text", "text"]), pd.DataFrame({"text": ["a", 1]})]
)
def test_a_frame_that_cannot_become_a_table_is_refused(frame: pd.DataFrame, scorer: Scorer) -> None:
    with pytest.raises(InputError, match="the frame can't be a table: "):
        scorer(frame)


def test_several_models_come_back_side_by_side_as_each_would_alone(checkpoint: Path, tmp_path: Path) -> None:
    """Two have one tokenizer, and a column of the table has the name that one of them adds."""
    other = tiny.build(Recipe("bert", seed=5), tmp_path / "other")
    gpt2 = tiny.build(Recipe("gpt2"), tmp_path / "gpt2")
    models = {"tone": checkpoint, "mood": other, "topic": gpt2}
    entries = [{"as": name, "name": str(path)} for name, path in models.items()]
    table = pa.table({"mood_label": range(6), "text": TEXTS})
    found = Scorer({"models": entries})(table)
    added = ("label", "score", "n_tokens", "truncated", "reject")
    assert found.column_names == ["input_mood_label", *(f"{name}_{column}" for name in models for column in added)]
    for name, path in models.items():
        alone = Scorer({"model": {"name": str(path)}})(table)
        for column in added:
            assert found.column(f"{name}_{column}").to_pylist() == alone.column(column).to_pylist()
