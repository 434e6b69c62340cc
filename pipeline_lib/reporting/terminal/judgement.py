"""Whether the scores of a night can be trusted, in a few words: their mean, the truth, and earlier nights."""

from pipeline_lib.messages import count, shortened
from pipeline_lib.planning.plan import Plan
from pipeline_lib.publishing.drift_gate import in_words, why_not_evaluated
from pipeline_lib.publishing.night_statistics import NightStatistics
from pipeline_lib.statistics.drift.references import DriftReport
from pipeline_lib.statistics.drift.verdicts import Verdict
from pipeline_lib.statistics.evaluation import Evaluation

_MOST_LABELS = 4
_LONGEST_LABEL = 24


def judgement_notes(night: NightStatistics, plan: Plan) -> list[str]:
    """Return what of a night is not as it should be, but does not stop it."""
    notes = []
    if night.truth and night.truth.unknown:
        named, column = count(night.truth.unknown, "value"), plan.settings.input.truth_column
        notes.append(f"{named} of {column!r} stand for no label of the model; see input.truth_labels")
    drift = night.drift
    if drift and drift.reference.pinned_reason:
        notes.append(f"limits.reference_date: {drift.reference.pinned_reason}")
    if drift and drift.verdict is Verdict.WARNED:
        notes.append(in_words(drift.with_verdict(Verdict.WARNED), drift))
    return notes


def judgement_lines(night: NightStatistics, plan: Plan) -> list[tuple[str, str]]:
    """Return what is known of the scores of a night, as (topic, text) lines.

    Args:
        night: what is counted of it.
        plan: the run's plan.
    """
    lines = []
    rows = night.rows
    if rows and rows.mean_score is not None:
        near, cut = (f"{number:,} ({number / rows.scored:.1%})" for number in (rows.near_boundary, rows.truncated))
        lines.append(("scores", f"{rows.mean_score:.3f} on average; {near} near the boundary; {cut} truncated"))
    if night.precision and night.precision.rows:
        apart, flips, of = night.precision.largest, night.precision.flips, count(night.precision.rows, "row")
        differ = f"scores in {plan.settings.model.precision} differ by {apart:.4f} at most"
        lines.append(("float32", f"{differ}, and {count(flips, 'label')}, in a sample of {of}"))
    if night.truth:
        lines.append(("truth", _truth(night.truth)))
    elif plan.settings.input.truth_column:
        lines.append(("truth", "not known of all rows: some were scored by a run that read none, or another"))
    if night.drift:
        lines.append(("drift", _drift(night.drift)))
    return lines


def _truth(truth: Evaluation) -> str:
    if truth.accuracy is None:
        return "no scored row has a true label"
    f1 = sorted(truth.f1.items(), key=lambda label: label[1])
    named = [f"{value:.3f} {shortened(label, _LONGEST_LABEL)}" for label, value in f1]
    if len(named) > _MOST_LABELS:
        named = [f"{sum(value for _, value in f1) / len(f1):.3f} on average, from {named[0]} to {named[-1]}"]
    error = truth.calibration_error
    calibration = "" if error is None else f"; calibration error {error:.3f}"
    return f"{truth.accuracy:.1%} of {truth.rows:,} labels are right; F1 {', '.join(named)}{calibration}"


def _drift(drift: DriftReport) -> str:
    if drift.verdict is Verdict.NOT_EVALUATED:
        return f"not compared with other nights: {why_not_evaluated(drift)}"
    reference = drift.reference
    against = [reference.reason] if reference.nights else []
    against += [f"the pinned night {reference.pinned.date}"] if reference.pinned else []
    words = {
        Verdict.PASSED: "passed",
        Verdict.WARNED: "warned, see the note above",
        Verdict.FAILED: "failed, and accepted",
    }
    return f"{words[drift.verdict]}; compared with {' and '.join(against)}"
