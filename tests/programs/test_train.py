"""The program that trains a small classifier, and the checkpoint that it made for the project."""

from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import pandas as pd
import pytest
import torch
import typer
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from typer.testing import CliRunner, Result

from jobs.sample.train import main
from jobs.sample.train_texts import Mix, balanced, cut_sentences, read, without_overlap

SAMPLE = Path(__file__).parents[2] / "configs" / "sample" / "model"
SIZES = {
    "--layers": 1,
    "--width": 32,
    "--heads": 2,
    "--inner": 64,
    "--positions": 32,
    "--max-tokens": 32,
    "--vocabulary": 300,
    "--epochs": 30,
    "--batch-tokens": 256,
    "--peak-rate": 0.005,
    "--labels": "BAD,GOOD",
}
TINY = [part for option in SIZES.items() for part in option]


def train(*arguments: object) -> Result:
    app = typer.Typer()
    app.command()(main)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def toy_texts(subjects: list[str]) -> pd.DataFrame:
    verdicts = {"lovely": 1, "superb": 1, "pleasant": 1, "dreadful": 0, "horrid": 0, "broken": 0}
    openings = ["the", "my new", "that old", "our second", "this cheap"]
    rows = [
        (f"{opening} {subject} was {word} .", label)
        for opening, subject, (word, label) in product(openings, subjects, verdicts.items())
    ]
    return pd.DataFrame(rows, columns=["text", "label"])


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    # Such small matrices gain nothing from threads, which on a busy machine wait for each other.
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    texts = toy_texts(["lamp", "chair", "kettle", "radio", "table", "clock"])
    unseen = texts.groupby("label").sample(30, random_state=0)
    texts.drop(unseen.index).to_parquet(folder / "train.parquet")
    unseen.to_parquet(folder / "unseen.parquet")
    result = train(
        "--train", folder / "train.parquet", "--eval", folder / "unseen.parquet", "--out", folder / "a", *TINY
    )
    assert result.exit_code == 0, result.output
    return folder


def classifier(folder: Path) -> Callable[[str], tuple[str, float]]:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()

    def classify(text: str) -> tuple[str, float]:
        with torch.inference_mode():
            scores = model(**tokenizer(text, return_tensors="pt")).logits.softmax(-1)[0]
        return model.config.id2label[int(scores.argmax())], float(scores.max())

    return classify


def test_a_trained_folder_loads_like_any_checkpoint_and_knows_the_rule_of_its_texts(toy: Path) -> None:
    assert classifier(toy / "a")("the table was superb .")[0] == "GOOD"
    assert classifier(toy / "a")("the table was horrid .")[0] == "BAD"
    card = (toy / "a" / "README.md").read_text()
    assert "| unseen | 60 | 1.0000 | 1.0000 | 0.5000 |" in card
    assert str(toy) not in card


def test_the_same_seed_trains_the_same_bytes(toy: Path) -> None:
    result = train("--train", toy / "train.parquet", "--eval", toy / "unseen.parquet", "--out", toy / "b", *TINY)
    assert result.exit_code == 0, result.output
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        assert (toy / "a" / name).read_bytes() == (toy / "b" / name).read_bytes(), name


def test_a_teacher_alone_can_teach_the_rule(toy: Path, tmp_path: Path) -> None:
    unlabelled = toy_texts(["lamp", "chair", "kettle", "radio"])
    unlabelled["text"] = unlabelled["text"] + " " + unlabelled["text"].sample(frac=1, random_state=0).to_numpy()
    unlabelled.assign(label=None).to_parquet(tmp_path / "texts.parquet")
    arguments = ["--train", tmp_path / "texts.parquet", "--out", tmp_path / "pupil", *TINY]
    result = train(*arguments, "--teacher", toy / "a", "--sentences", 100, "--balance", 2, "--words", 500)
    assert result.exit_code == 0, result.output
    assert classifier(tmp_path / "pupil")("the kettle was superb .")[0] == "GOOD"
    assert classifier(tmp_path / "pupil")("the kettle was horrid .")[0] == "BAD"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--label-column", "stars"], "no column stars"),
        (["--text-column", "body", "--label-column", "stars"], "no column body and no column stars"),
        (["--labels", "ONLY"], "labels other than 0 to 0"),
        (["--sentences", "5"], "needs a --teacher"),
        (["--heads", "5"], "5 heads do not divide"),
        (["--positions", "16"], "512 tokens do not fit 16 positions"),
        (["--teacher", "no-such-folder/model/here"], "cannot load no-such-folder/model/here"),
        (["--train", "no-such-file.parquet"], "does not exist"),
        (["--train", __file__], "not a readable Parquet file"),
    ],
)
def test_a_wrong_file_or_option_ends_with_code_2_and_says_why(
    arguments: list[str], message: str, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    result = train("--train", toy / "train.parquet", "--out", tmp_path / "none", *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", " ").split())
    assert not (tmp_path / "none").exists()


def test_texts_without_any_label_need_a_teacher(tmp_path: Path) -> None:
    pd.DataFrame({"text": ["one", "two"], "label": [None, None]}).to_parquet(tmp_path / "t.parquet")
    result = train("--train", tmp_path / "t.parquet", "--out", tmp_path / "none")
    assert result.exit_code == 2
    assert "no row has a label" in result.output


def test_reading_leaves_out_empty_and_repeated_texts_and_marks_missing_labels(tmp_path: Path) -> None:
    frame = pd.DataFrame({"text": ["a", None, " ", "b", "a"], "label": [1, 0, 0, None, 1]})
    frame.to_parquet(tmp_path / "t.parquet")
    found = read(tmp_path / "t.parquet", "text", "label", 2)
    assert found[["text", "label"]].to_numpy().tolist() == [["a", 1], ["b", -1]]


def test_fragments_and_extensions_of_held_back_texts_leave_training() -> None:
    texts = ["a fine", "A  fine day .", "oh , a fine day .", "fin", "another fine day"]
    kept = without_overlap(pd.DataFrame({"text": texts}), ["a fine day ."])
    assert kept["text"].tolist() == ["fin", "another fine day"]


def test_sentences_are_cut_at_their_ends_and_at_markup() -> None:
    frame = pd.DataFrame({"text": ["It works well. Would buy again!<br />Too short. And the end"], "part": "p"})
    cut = cut_sentences(frame, Mix(sentences=10))
    assert sorted(cut["text"]) == ["And the end", "It works well.", "Would buy again!"]


def test_balancing_cuts_the_frequent_class_and_weighs_the_classes_alike() -> None:
    frame = pd.DataFrame({"text": [f"text {i}" for i in range(110)], "side": [0] * 10 + [1] * 100})
    kept = balanced(frame, Mix(balance=3))
    assert kept["side"].value_counts().to_dict() == {0: 10, 1: 30}
    assert kept.groupby("side")["weight"].sum().tolist() == pytest.approx([20, 20])


def test_training_goes_on_from_a_checkpoint_with_its_shape_and_its_pieces(toy: Path, tmp_path: Path) -> None:
    result = train(
        "--train", toy / "unseen.parquet", "--start", toy / "a", "--epochs", 1, "--max-tokens", 32,
        "--labels", "BAD,GOOD", "--out", tmp_path / "more",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    for name in ("tokenizer.json", "config.json"):
        assert (tmp_path / "more" / name).read_bytes() == (toy / "a" / name).read_bytes()
    assert classifier(tmp_path / "more")("the table was horrid .")[0] == "BAD"


def test_the_sample_checkpoint_is_small_and_loads_in_full_precision() -> None:
    assert sum(path.stat().st_size for path in SAMPLE.iterdir()) <= 5_900_000
    model = AutoModelForSequenceClassification.from_pretrained(SAMPLE)
    assert model.dtype == torch.float32
    assert model.config.id2label == {0: "NEGATIVE", 1: "POSITIVE"}
    assert AutoTokenizer.from_pretrained(SAMPLE).model_max_length == 512


def test_the_sample_checkpoint_knows_hatred() -> None:
    label, score = classifier(SAMPLE)("I hate this so much!")
    assert label == "NEGATIVE"
    assert score > 0.9


def test_the_sample_checkpoint_knows_that_a_course_was_longed_for() -> None:
    assert classifier(SAMPLE)("I've been waiting for a HuggingFace course my whole life.")[0] == "POSITIVE"
