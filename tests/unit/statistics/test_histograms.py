"""Histograms count every value once, in bins that anyone can compute, and add up in any order."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.statistics.bins import DIFFERENCES, NUMBERS, PROBABILITIES, TOKENS, Bins
from pipeline_lib.statistics.histogram import Histogram, pooled, quantile_cuts
from pipeline_lib.statistics.row_statistics import RowStatistics
from pipeline_lib.statistics.scored_rows import ScoredRows, near_boundary, score_bins
from pipeline_lib.statistics.text_sample import MOST, TextSample, text_hashes
from tests.unit.statistics.made_rows import LABELS, night, rows_of

ALL_BINS = [PROBABILITIES, NUMBERS, TOKENS, DIFFERENCES]
LOGITS = st.lists(st.floats(-20, 20, width=32), max_size=30)
WORDS = st.lists(st.sampled_from([b"a", b"b", b"c"]) | st.binary(max_size=2), max_size=40)


@pytest.mark.parametrize("bins", ALL_BINS, ids=lambda bins: bins.name)
def test_edges_ascend_also_in_float32(bins: Bins) -> None:
    assert (np.diff(np.array(bins.edges, np.float32)) > 0).all()


def test_the_bins_of_a_name_never_change() -> None:
    # Stored histograms refer to their bins by name: other edges need another name.
    assert {bins.name: (len(bins), round(float(np.sum(np.abs(bins.edges))), 6)) for bins in ALL_BINS} == {
        "probabilities-1": (180, 89.5),
        "numbers-1": (404, 35752.9958),
        "tokens-1": (146, 13107136.0),
        "differences-1": (81, 3.866667),
    }


def test_bins_are_dense_where_softmax_piles_up_and_hold_the_usual_token_limits() -> None:
    widths = np.diff([0, *PROBABILITIES.edges, 1])
    assert widths[:40].max() < 0.0021
    assert widths[-40:].max() < 0.0021
    assert np.allclose(widths[41:139], 0.01)
    edges = TOKENS.edges
    assert {0, 16, 32, 64, 128, 256, 384, 512, 1024, 4096, 8192} <= set(edges)
    assert TOKENS.indices(np.array([512, 513])).tolist() == [edges.index(512), edges.index(512) + 1]


@given(values=st.lists(st.floats(0, 1, width=32), max_size=50), bins=st.sampled_from(ALL_BINS))
def test_a_histogram_is_that_of_numpy(values: list[float], bins: Bins) -> None:
    edges = np.array([-np.inf, *np.array(bins.edges, np.float32), np.inf])
    numbers = np.array(values, np.float32)
    # numpy's bins have their lower edge; those with the upper edge are the same of the negated numbers.
    expected = (
        np.histogram(-numbers, -edges[::-1])[0][::-1] if bins.upper_inclusive else np.histogram(numbers, edges)[0]
    )
    assert Histogram.of(bins, numbers).counts.tolist() == expected.tolist()


def test_a_score_that_prints_as_an_edge_is_in_the_bin_above() -> None:
    scores = np.array([0.01, 0.3, 0.5, 0.9, 0.99, 0.999], np.float32)
    lower = [PROBABILITIES.edges[index - 1] for index in PROBABILITIES.indices(scores)]
    assert lower == [0.01, 0.3, 0.5, 0.9, 0.99, 0.999]


def test_what_is_no_number_has_no_bin() -> None:
    with pytest.raises(ValueError, match="NaN"):
        Histogram.of(PROBABILITIES, np.array([0.5, np.nan], np.float32))


@given(values=st.lists(st.floats(0, 1, width=32), max_size=50))
def test_a_histogram_is_the_same_after_it_was_text(values: list[float]) -> None:
    histogram = Histogram.of(PROBABILITIES, np.array(values, np.float32))
    assert Histogram.from_text(PROBABILITIES, histogram.to_text()) == histogram


@pytest.mark.parametrize("text", ["180:1", "-1:1", "1:-1", "1", "x:1", "1:1.5", "1:99999999999999999999"])
def test_what_is_no_histogram_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no bin"):
        Histogram.from_text(PROBABILITIES, text)


def test_histograms_in_different_bins_are_never_added() -> None:
    with pytest.raises(ValueError, match="can't be added"):
        pooled(PROBABILITIES, [Histogram.empty(NUMBERS)])


@given(seed=st.integers(0, 999), rows=st.integers(200, 5000), scale=st.floats(0.1, 8))
def test_coarse_bins_have_equal_shares_of_the_reference_and_lose_no_row(seed: int, rows: int, scale: float) -> None:
    logits = np.random.default_rng(seed).normal(1, scale, rows)
    reference = Histogram.of(PROBABILITIES, 1 / (1 + np.exp(-logits)))
    cuts = quantile_cuts(reference)
    coarse = reference.merged(cuts)
    assert coarse.sum() == rows
    assert len(coarse) == len(cuts) + 1 <= 10
    # An edge is off by half of the largest fine bin at most, on each side.
    assert coarse.max() <= rows / 10 + reference.counts.max()


def test_a_pile_in_one_fine_bin_has_a_coarse_bin_of_its_own() -> None:
    reference = Histogram.of(PROBABILITIES, np.full(100, 0.305))
    assert reference.merged(quantile_cuts(reference)).tolist() == [0, 100, 0]
    assert quantile_cuts(Histogram.empty(PROBABILITIES)) == ()


@given(one=LOGITS, other=LOGITS, third=LOGITS, codes=st.dictionaries(st.sampled_from("xyz"), st.integers(0, 9)))
def test_statistics_add_up_in_any_order(
    one: list[float], other: list[float], third: list[float], codes: dict[str, int]
) -> None:
    a = RowStatistics.of(PROBABILITIES, rows_of(one, seed=1), codes)
    b = RowStatistics.of(PROBABILITIES, rows_of(other, seed=2), {})
    c = RowStatistics.of(PROBABILITIES, rows_of(third, seed=3), codes)
    assert (a + b) + c == a + (b + c)
    assert a + b == b + a
    assert a + RowStatistics(PROBABILITIES) == a
    assert (a + b).scored == len(one) + len(other)
    assert (a + b + c).rejected == {code: 2 * count for code, count in sorted(codes.items()) if count}


@given(logits=LOGITS, cut=st.integers(0, 30))
def test_statistics_of_slices_are_those_of_the_whole(logits: list[float], cut: int) -> None:
    def statistics(part: slice) -> RowStatistics:
        whole = rows_of(logits)
        return RowStatistics.of(
            PROBABILITIES,
            ScoredRows(
                labels=whole.labels[part],
                scores=whole.scores[part],
                tokens=whole.tokens[part],
                truncated=whole.truncated[part],
                near_boundary=whole.near_boundary[part],
                text_hashes=whole.text_hashes[part],
                all_scores={LABELS[0]: whole.scores[part]},
            ),
            {},
        )

    parts, whole = statistics(slice(cut)) + statistics(slice(cut, None)), statistics(slice(None))
    assert parts.to_json() == whole.to_json()


def test_statistics_are_the_same_after_they_were_json() -> None:
    statistics = night(500, seed=1) + RowStatistics.of(PROBABILITIES, rows_of([1.0]), {"null_text": 3})
    again = RowStatistics.from_json(json.loads(json.dumps(statistics.to_json())))
    assert again == statistics
    assert len(json.dumps(night(1024, seed=1).to_json())) < 3000


@pytest.mark.parametrize(
    "change",
    [
        {"score_bins": "other"},
        {"token_bins": "other"},
        {"scored": 4},
        {"truncated": -1},
        {"truncated": 501},
        {"tokens": "1:2"},
        {"texts": "zz"},
        {"rejected": {"null_text": "3"}},
        {"label_scores": ["5:500"]},
        {"duplicates": True},
        {"score_units": 1.5},
        {"token_sum": -1},
    ],
)
def test_what_is_no_statistics_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        RowStatistics.from_json({**night(500, seed=1).to_json(), **change})
    with pytest.raises(ValueError, match="no statistics"):
        RowStatistics.from_json(None)


def test_the_means_of_scores_and_lengths_are_exact_and_do_not_depend_on_the_order() -> None:
    rows = rows_of(np.linspace(-9, 9, 1000), seed=4)
    statistics = RowStatistics.of(PROBABILITIES, rows, {})
    assert statistics.mean_score == pytest.approx(rows.scores.astype(np.float64).mean(), abs=1e-9)
    assert statistics.token_sum == rows.tokens.sum()
    assert RowStatistics(PROBABILITIES).mean_score is None
    huge = replace(rows_of([1.0, 1.0]), scores=np.array([3e38, -3e38], np.float32))
    assert RowStatistics.of(NUMBERS, huge, {}).mean_score == 0


def test_duplicates_are_counted_in_each_slice() -> None:
    def slice_of(texts: list[bytes]) -> RowStatistics:
        return RowStatistics.of(PROBABILITIES, rows_of([1.0] * len(texts), texts=texts), {})

    one, other = slice_of([b"a", b"b", b"a", b"a"]), slice_of([b"b", b"b"])
    assert [one.duplicates, other.duplicates, (one + other).duplicates] == [2, 1, 3]


def test_scores_without_an_activation_have_bins_of_their_own() -> None:
    assert [score_bins(name) for name in ("softmax", "sigmoid", "none")] == [PROBABILITIES, PROBABILITIES, NUMBERS]
    with pytest.raises(ValueError, match="can't be added"):
        _ = RowStatistics(PROBABILITIES) + RowStatistics(NUMBERS)


def test_a_row_is_near_the_boundary_if_little_would_change_its_answer() -> None:
    scores = np.array([[0.54, 0.46, 0.0], [0.56, 0.44, 0.0], [0.1, 0.46, 0.44]], np.float32)
    assert near_boundary(scores, "softmax").tolist() == [True, False, True]
    assert near_boundary(scores, "sigmoid").tolist() == [True, False, True]
    assert near_boundary(np.array([[0.4], [0.52]], np.float32), "sigmoid").tolist() == [False, True]
    assert near_boundary(scores, "none").tolist() == [False] * 3
    assert near_boundary(np.ones((2, 1), np.float32), "softmax").tolist() == [False] * 2
    assert near_boundary(np.empty((0, 3), np.float32), "softmax").tolist() == []


@given(one=WORDS, other=WORDS, third=WORDS)
def test_samples_of_texts_add_up_in_any_order(one: list[bytes], other: list[bytes], third: list[bytes]) -> None:
    a, b, c = (TextSample.of(text_hashes(texts)) for texts in (one, other, third))
    assert (a + b) + c == a + (b + c) == TextSample.of(text_hashes([*one, *other, *third]))
    assert TextSample.from_text((a + b).to_text()) == a + b


def test_large_samples_of_texts_keep_the_smallest_hashes_and_still_add_up() -> None:
    texts = [b"%d" % (number % 20_000) for number in range(30_000)]
    parts = [TextSample.of(text_hashes(texts[start : start + 3000])) for start in range(0, 30_000, 3000)]
    left = right = TextSample()
    for index in range(10):
        left, right = left + parts[index], parts[-1 - index] + right
    assert left == right == TextSample.of(text_hashes(texts))
    assert len(left.rows) == MOST
    # A third of the rows repeat a text, in other slices.
    assert abs(left.repeated_rows / left.sampled_rows - 1 / 3) < 0.05


@pytest.mark.parametrize("text", ["fffffffffff0", "0000000000aa:0", "0000000000aa:-2", "x"])
def test_what_is_no_sample_of_texts_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        TextSample.from_text(text)
