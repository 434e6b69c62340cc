"""What pictures show, and where their shapes are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.reporting.pages.drawing.chart import HEIGHT, WIDTH, chart_of
from pipeline_lib.reporting.pages.drawing.columns import columns_of
from pipeline_lib.reporting.pages.drawing.reliability import SIDE, points_of
from pipeline_lib.reporting.pages.drawing.trend import trend_of
from pipeline_lib.reporting.pages.rendering import decimal, number, percent
from pipeline_lib.statistics.bins import NUMBERS, PROBABILITIES, TOKENS, Bins
from pipeline_lib.statistics.calibration import calibration_of
from pipeline_lib.statistics.histogram import Histogram

BINS = st.sampled_from([PROBABILITIES, NUMBERS, TOKENS])


def histogram(bins: Bins, values: list[float]) -> Histogram:
    return Histogram.of(bins, np.array(values, np.float32))


@given(BINS, st.lists(st.floats(0, 2000, width=32)), st.none() | st.lists(st.floats(0, 2000, width=32)))
def test_columns_have_every_value_once_and_fit_into_the_picture(
    bins: Bins, values: list[float], others: list[float] | None
) -> None:
    reference = None if others is None else histogram(bins, others)
    columns = columns_of(histogram(bins, values), reference)
    assert sum(column.count for column in columns) == len(values)
    assert len(columns) <= 45
    if not columns:
        return
    if values:
        assert sum(column.share for column in columns) == pytest.approx(1)
    if others:
        assert sum(column.reference or 0 for column in columns) == pytest.approx(1)
    assert [column.end for column in columns[:-1]] == [column.start for column in columns[1:]]
    chart = chart_of(columns, 512)
    assert all(bar.x >= 0 and bar.x + bar.width <= WIDTH and 0 <= bar.y <= HEIGHT for bar in chart.bars)
    assert all(bar.height >= 0 and bar.width > 0 for bar in chart.bars)
    assert all(0 <= x <= WIDTH for x, _ in chart.ticks)
    assert bool(chart.outline) == bool(others)


def test_the_limit_is_marked_and_what_is_beyond_it_told_apart() -> None:
    columns = columns_of(histogram(TOKENS, [10, 100, 512, 513]), None)
    chart = chart_of(columns, 512)
    over = [column.count for column, bar in zip(columns, chart.bars, strict=True) if bar.over]
    assert over == [1]
    assert chart.limit_x == min(bar.x for bar in chart.bars if bar.over) - 1
    assert chart_of(columns_of(histogram(TOKENS, [10]), None), 512).limit_x is None


@given(st.lists(st.none() | st.floats(-1e9, 1e9), max_size=40))
def test_a_trend_has_a_gap_where_a_night_is_missing(values: list[float | None]) -> None:
    trend = trend_of(values, [False] * len(values))
    known = [value for value in values if value is not None]
    if not known:
        assert trend is None
        return
    assert trend
    runs = "".join("x" if value is not None else " " for value in values).split()
    assert trend.path.count("M") == len(runs)
    assert trend.path.count("M") + trend.path.count("L") == len(known)
    assert (trend.lowest, trend.highest) == (min(known), max(known))


def test_a_held_night_and_the_last_one_have_a_dot() -> None:
    trend = trend_of([1.0, 2.0, 3.0, 2.0], [False, True, False, False])
    assert trend
    assert [dot.held for dot in trend.dots] == [True, False]


def test_the_calibration_curve_has_a_point_for_each_bin() -> None:
    scores = np.array([0.52, 0.93, 0.94, 1.0], np.float32)
    points = points_of(calibration_of(scores, np.array([False, True, False, True])))
    assert [(point.words, point.rows, point.accuracy) for point in points] == [
        ("0.5 to 0.55", 1, 0.0),
        ("0.9 to 0.95", 2, 0.5),
        ("0.95 to 1", 1, 1.0),
    ]
    assert all(0 < point.x < SIDE and 0 < point.y < SIDE for point in points)


def test_a_share_never_looks_like_none_or_all_unless_it_is() -> None:
    assert [percent(share) for share in (0.0, 0.0004, 0.001, 0.5, 0.9996, 1.0, -0.0001)] == [
        "0.0%",
        "<0.1%",
        "0.1%",
        "50.0%",
        ">99.9%",
        "100.0%",
        "<0.1%",
    ]
    assert (number(None), decimal(None), percent(None)) == ("—", "—", "—")
    assert (number(1234567.0), decimal(0.12345)) == ("1,234,567", "0.123")
