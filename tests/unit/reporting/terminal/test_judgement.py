"""What a run says of its scores: their mean, the truth, and how they compare with earlier nights."""

import datetime as dt
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline_lib.planning.discovery import discover
from pipeline_lib.planning.plan import Plan
from pipeline_lib.planning.planner import make_plan
from pipeline_lib.publishing.night_statistics import NightStatistics
from pipeline_lib.reporting.terminal.judgement import judgement_lines, judgement_notes
from pipeline_lib.statistics.drift.references import DriftReport, NightRecord, choose_reference, drift_report
from pipeline_lib.statistics.drift.verdicts import DriftLimits
from pipeline_lib.statistics.evaluation import Evaluation
from pipeline_lib.statistics.truth import NO_TRUTH, UNKNOWN
from pipeline_lib.storage.records import Drift
from tests.conftest import SettingsMaker, write_parquet
from tests.unit.statistics.made_rows import night

DATE = dt.date(2026, 11, 22)
LABELS = ("NEGATIVE", "POSITIVE")


@pytest.fixture
def plan(tmp_path: Path, settings_for: SettingsMaker) -> Plan:
    write_parquet(tmp_path / "in" / "a.parquet", {"text": ["a"], "stars": [1]})
    return make_plan(discover(settings_for(input={"truth_column": "stars"})))


def compared(shift: float, nights: int = 7, pinned: dt.date | None = None) -> DriftReport:
    earlier = [
        NightRecord(DATE - dt.timedelta(days=days), accepted=True, score_version="v", statistics=night(2000, days))
        for days in range(1, nights + 1)
    ]
    return drift_report(
        night(2000, 99, shift=shift), choose_reference(earlier, DATE, "v", pinned), DriftLimits(None, None)
    )


def truths(*values: int) -> Evaluation:
    scores = np.full(len(values), 0.9, np.float32)
    return Evaluation.of(LABELS, np.array(values), ["POSITIVE"] * len(values), scores)


def test_a_night_is_judged_in_a_line_a_topic(plan: Plan) -> None:
    rows = night(2000, 1)
    told = dict(judgement_lines(NightStatistics(rows=rows, truth=truths(1, 1, 1, 0), drift=compared(0.0)), plan))
    near, cut = rows.near_boundary, rows.truncated
    assert told == {
        "scores": f"{rows.mean_score:.3f} on average; {near} ({near / 2000:.1%}) near the boundary; "
        f"{cut} ({cut / 2000:.1%}) truncated",
        "truth": "75.0% of 4 labels are right; F1 0.000 NEGATIVE, 0.857 POSITIVE; calibration error 0.150",
        "drift": "passed; compared with the last 7 accepted nights",
    }


def test_scores_below_float32_are_compared_with_it_in_a_line(plan: Plan) -> None:
    drift = Drift(rows=100, flips=1, largest=0.16584)
    assert judgement_lines(NightStatistics(precision=drift), plan)[0] == (
        "float32",
        "scores in float32 differ by 0.1658 at most, and 1 label, in a sample of 100 rows",
    )
    assert "float32" not in dict(
        judgement_lines(NightStatistics(precision=Drift(rows=0, flips=0, largest=0)), plan)
    )


def test_what_is_not_known_is_said_or_left_out(plan: Plan) -> None:
    assert judgement_lines(NightStatistics(truth=truths(NO_TRUTH)), plan) == [
        ("truth", "no scored row has a true label")
    ]
    assert judgement_lines(NightStatistics(drift=compared(0.0, nights=0)), plan) == [
        ("truth", "not known of all rows: some were scored by a run that read none, or another"),
        ("drift", "not compared with other nights: the first night"),
    ]
    settings = plan.settings
    without_truth = settings.input.model_copy(update={"truth_column": None})
    plain = replace(plan, settings=settings.model_copy(update={"input": without_truth}))
    assert judgement_lines(NightStatistics(), plain) == []


def test_notes_name_unknown_truths_a_pinned_night_that_is_missing_and_what_drifted(plan: Plan) -> None:
    off = compared(-1.0, pinned=dt.date(2026, 1, 1))
    unknown, pinned, drifted = judgement_notes(NightStatistics(truth=truths(UNKNOWN, UNKNOWN, 1), drift=off), plan)
    assert unknown == "2 values of 'stars' stand for no label of the model; see input.truth_labels"
    assert pinned == "limits.reference_date: the pinned night 2026-01-01 has no statistics"
    assert "the last 7 accepted nights" in drifted
    ((topic, verdict),) = judgement_lines(NightStatistics(truth=None, drift=off), plan)[1:]
    assert (topic, verdict) == ("drift", "warned, see the note above; compared with the last 7 accepted nights")
    assert judgement_notes(NightStatistics(truth=truths(1), drift=compared(0.0)), plan) == []


def test_of_many_labels_the_mean_and_the_ends_of_f1_are_told(plan: Plan) -> None:
    names = [f"label {number}" for number in range(9)]
    truth = Evaluation.of(names, np.arange(9), [*names[:8], names[0]], None)
    ((_, told),) = judgement_lines(NightStatistics(truth=truth), plan)
    assert told == "88.9% of 9 labels are right; F1 0.852 on average, from 0.000 label 8 to 1.000 label 7"
