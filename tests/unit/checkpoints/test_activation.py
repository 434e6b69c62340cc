"""Scores and labels: the pipeline's formulas, exactly."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from transformers.pipelines import text_classification as oracle

from pipeline_lib.checkpoints.activation import activate, activation_for, top

Logits = NDArray[np.float32]

LOGITS = arrays(
    np.float32,
    array_shapes(min_dims=2, max_dims=2, max_side=6),
    elements=st.floats(-60, 60, width=32),
)


@pytest.mark.parametrize(
    ("problem_type", "num_labels", "expected"),
    [
        ("regression", 1, "none"),
        ("regression", 3, "none"),
        ("multi_label_classification", 3, "sigmoid"),
        ("single_label_classification", 1, "sigmoid"),
        (None, 1, "sigmoid"),
        (None, 2, "softmax"),
        ("single_label_classification", 5, "softmax"),
    ],
)
def test_the_activation_is_the_one_the_pipeline_chooses(
    problem_type: str | None, num_labels: int, expected: str
) -> None:
    assert activation_for(problem_type, num_labels) == expected


@given(LOGITS)
def test_softmax_equals_the_pipelines_for_every_row(logits: Logits) -> None:
    expected = np.stack([oracle.softmax(row) for row in logits])
    np.testing.assert_allclose(activate(logits, "softmax"), expected, rtol=1e-6)


@given(LOGITS)
def test_sigmoid_equals_the_pipelines_for_every_row(logits: Logits) -> None:
    expected = np.stack([oracle.sigmoid(row) for row in logits])
    np.testing.assert_allclose(activate(logits, "sigmoid"), expected, rtol=1e-6)


@given(LOGITS)
def test_no_activation_leaves_the_logits(logits: Logits) -> None:
    assert (activate(logits, "none") == logits).all()


@given(LOGITS)
def test_softmax_scores_of_a_row_sum_to_one(logits: Logits) -> None:
    np.testing.assert_allclose(activate(logits, "softmax").sum(axis=1), 1, rtol=1e-5)


@given(LOGITS)
def test_the_top_label_is_the_one_with_the_largest_score(logits: Logits) -> None:
    names = [f"label {index}" for index in range(logits.shape[1])]
    labels, best = top(logits, names)
    for row, label, score in zip(logits, labels, best, strict=True):
        assert score == row.max()
        assert label == names[int(row.argmax())]


def test_sigmoid_of_very_negative_logits_is_zero_without_a_warning() -> None:
    assert activate(np.array([[-1000.0]], np.float32), "sigmoid").tolist() == [[0.0]]


def test_half_precision_logits_are_scored_in_float32() -> None:
    assert activate(np.array([[1.0, 2.0]], np.float16), "softmax").dtype == np.float32


def test_the_well_known_logits_give_the_well_known_scores_and_labels() -> None:
    """The figures of the Hugging Face course for distilbert-base-uncased-finetuned-sst-2-english."""
    logits = np.array([[-1.5607, 1.6123], [4.1692, -3.3464]], np.float32)
    scores = activate(logits, "softmax")
    assert np.round(scores, 4).tolist() == np.array([[0.0402, 0.9598], [0.9995, 0.0005]], np.float32).tolist()
    labels, best = top(scores, ["NEGATIVE", "POSITIVE"])
    assert labels == ["POSITIVE", "NEGATIVE"]
    assert np.round(best, 4).tolist() == np.array([0.9598, 0.9995], np.float32).tolist()
