"""True labels are understood as people write them, and figures are those of scikit-learn."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

from pipeline_lib.errors import SettingsError
from pipeline_lib.statistics.calibration import CONFIDENCE_BINS
from pipeline_lib.statistics.evaluation import Evaluation
from pipeline_lib.statistics.truth import NO_TRUTH, UNKNOWN, TruthLabels
from tests.unit.statistics.made_rows import LABELS, rows_of

STARS = ("1 star", "2 stars", "3 stars", "4 stars", "5 stars")
SENTIMENT = {"1": "NEGATIVE", "2": "NEGATIVE", "3": None, "4": "POSITIVE", "5": "POSITIVE"}


@pytest.mark.parametrize(
    ("labels", "mapping", "values", "expected"),
    [
        (LABELS, {}, ["NEGATIVE", "positive", " POSITIVE "], [0, 1, 1]),
        (LABELS, {}, [0, 1, 1.0, "1", "1.0", True, np.int8(0), np.float32(1)], [0, 1, 1, 1, 1, 1, 0, 1]),
        (LABELS, {}, [None, "", "  ", float("nan")], [NO_TRUTH] * 4),
        (LABELS, {}, [2, -1, 0.5, "neutral"], [UNKNOWN] * 4),
        (LABELS, SENTIMENT, [1, 2.0, "3", 4, "5", 6], [0, 0, NO_TRUTH, 1, 1, UNKNOWN]),
        (LABELS, {"good": "POSITIVE", "4.0": "POSITIVE"}, ["good", 4, "NEGATIVE"], [1, 1, 0]),
        (STARS, {}, [1, 5, "3 stars", 3.0, 0], [0, 4, 2, 2, UNKNOWN]),
        (("LABEL_0", "LABEL_1"), {}, [0, 1, "label_1"], [0, 1, 1]),
        (("a", "A"), {}, ["a", "A", 1], [0, 1, 1]),
        (("0 of 2", "1 of 2"), {}, [0, 1, 2], [0, 1, UNKNOWN]),
        (("5", "4", "3"), {}, [5, "4", 3.0], [0, 1, 2]),
        (("same", "same"), {}, ["same"], [0]),
        (("top 1", "also 1"), {}, [0, 1], [0, 1]),
    ],
)
def test_values_stand_for_labels(
    labels: tuple[str, ...], mapping: dict[str, str | None], values: list[object], expected: list[int]
) -> None:
    assert TruthLabels(labels, mapping).indices(values).tolist() == expected


def test_a_mapping_to_a_label_that_the_model_does_not_have_is_refused_with_the_nearest() -> None:
    with pytest.raises(SettingsError, match=r"'4' is to be 'POSITVE'.*did you mean 'POSITIVE'\?.*'NEGATIVE'"):
        TruthLabels(LABELS, {"4": "POSITVE"})


def drawn(seed: int, rows: int, labels: int) -> tuple[list[str], Any, list[str], Any]:
    """Return names, true indices (some unknown), predictions and scores of rows, at random."""
    random = np.random.default_rng(seed)
    names = [f"label {index}" for index in range(labels)]
    scores = random.random(rows).astype(np.float32)
    # Some scores are edges of bins.
    scores[::7] = np.round(scores[::7] * 20) / 20
    truth = random.integers(-2, labels, rows)
    predicted = [names[index] for index in np.where(random.random(rows) < 0.7, abs(truth) % labels, 0)]
    return names, truth, predicted, scores


@pytest.mark.filterwarnings("ignore:A single label was found")
@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), rows=st.integers(1, 200), labels=st.integers(1, 6))
def test_figures_are_those_of_scikit_learn(seed: int, rows: int, labels: int) -> None:
    names, truth, predicted, scores = drawn(seed, rows, labels)
    found = Evaluation.of(names, truth, predicted, scores).to_json()
    known = truth >= 0
    true = [names[index] for index in truth[known]]
    guess = [label for label, is_known in zip(predicted, known, strict=True) if is_known]
    assert found["rows"] == len(true)
    assert (found["without_truth"], found["unknown"]) == (int((truth == -1).sum()), int((truth == -2).sum()))
    if not true:
        assert found["accuracy"] is found["calibration_error"] is None
        return
    assert found["accuracy"] == pytest.approx(accuracy_score(true, guess), abs=1e-15)
    seen = sorted({*true, *guess})
    assert found["f1"] == pytest.approx(
        dict(zip(seen, f1_score(true, guess, labels=seen, average=None), strict=True))
    )
    matrix = confusion_matrix(true, guess, labels=seen)
    assert [[found["confusion"].get(row, {}).get(column, 0) for column in seen] for row in seen] == matrix.tolist()
    right = [one == other for one, other in zip(true, guess, strict=True)]
    shares, means = calibration_curve(right, scores[known].astype(np.float64), n_bins=CONFIDENCE_BINS)
    curve = [(share / count, units / 2**32 / count) for _, count, share, units in found["calibration"]]
    assert np.allclose(curve, np.stack([shares, means], axis=1), rtol=0, atol=1e-9)
    weights = np.array([count for _, count, _, _ in found["calibration"]]) / len(true)
    assert found["calibration_error"] == pytest.approx(float(weights @ np.abs(shares - means)), abs=1e-9)


@given(seed=st.integers(0, 10_000), cuts=st.tuples(st.integers(0, 60), st.integers(0, 60)))
def test_evaluations_of_slices_add_up_in_any_order(seed: int, cuts: tuple[int, int]) -> None:
    names, truth, predicted, scores = drawn(seed, 60, 3)
    first, second = sorted(cuts)
    a, b, c = (
        Evaluation.of(names, truth[part], predicted[part], scores[part])
        for part in (slice(first), slice(first, second), slice(second, None))
    )
    assert (a + b) + c == a + (b + c) == c + b + a == Evaluation.of(names, truth, predicted, scores)
    assert Evaluation.from_json(json.loads(json.dumps((a + b).to_json()))) == a + b


def test_scores_that_are_no_probabilities_have_no_calibration() -> None:
    found = Evaluation.of(LABELS, np.array([0, 1]), ["NEGATIVE", "NEGATIVE"], None)
    assert (found.accuracy, found.calibration_error, found.calibration) == (0.5, None, {})
    assert found.f1 == {"NEGATIVE": pytest.approx(2 / 3), "POSITIVE": 0.0}


def test_a_label_that_is_predicted_but_never_true_has_an_f1_of_0() -> None:
    found = Evaluation.of(LABELS, np.array([0, 0, -1]), ["NEGATIVE", "POSITIVE", "POSITIVE"], None)
    assert found.f1 == {"NEGATIVE": pytest.approx(2 / 3), "POSITIVE": 0.0}


def test_calibrated_scores_have_no_calibration_error_and_overconfident_ones_do() -> None:
    random = np.random.default_rng(3)
    rows = rows_of(random.normal(0, 2, 50_000))
    is_right = random.random(50_000) < rows.scores
    truth = np.array(
        [
            LABELS.index(label) if right else 1 - LABELS.index(label)
            for label, right in zip(rows.labels, is_right, strict=True)
        ]
    )
    calibrated = Evaluation.of(LABELS, truth, rows.labels, rows.scores).calibration_error
    bold = Evaluation.of(LABELS, truth, rows.labels, np.sqrt(rows.scores)).calibration_error
    assert calibrated is not None
    assert bold is not None
    assert calibrated < 0.01
    assert bold > 0.05


@pytest.mark.parametrize(
    "change",
    [
        {"confusion": {"a": {"b": -1}}},
        {"confusion": []},
        {"calibration": [[1, 2]]},
        {"calibration": [[20, 1, 1, 1]]},
        {"calibration": [[1, 1, 2, 1]]},
        {"calibration": [1]},
        {"unknown": "1"},
    ],
)
def test_what_is_no_evaluation_is_refused(change: dict[str, object]) -> None:
    value = Evaluation.of(LABELS, np.array([0]), ["NEGATIVE"], None).to_json()
    with pytest.raises(ValueError, match=r"no (evaluation|number|bin)|unpack"):
        Evaluation.from_json({**value, **change})
