"""The verdict on a night in one line, and what a person should do about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline_lib.messages import count
from pipeline_lib.reporting.pages.facts.figures import DriftFigures
from pipeline_lib.reporting.pages.facts.night_files import NightFiles
from pipeline_lib.statistics.drift.verdicts import Measure, Verdict

Kind = Literal["good", "warn", "bad"]
SIGNS: dict[Kind, str] = {"good": "✓", "warn": "!", "bad": "✗"}


@dataclass(frozen=True)
class Headline:
    """What is read first."""

    kind: Kind
    line: str
    why: tuple[tuple[str, str], ...] = ()
    """What each gate found, by the name of the gate."""
    words: str = ""
    """The words of `--accept`."""
    advice: str = ""
    notes: tuple[str, ...] = ()

    @property
    def sign(self) -> str:
        """Says the kind without a colour."""
        return SIGNS[self.kind]


def headline_of(night: NightFiles) -> Headline:
    """Return the verdict on a night."""
    if night.held:
        return _held(night)
    accepted = night.manifest.accepted if night.manifest else None
    if accepted:
        gates = ", ".join(accepted.gates)
        line = f"Published in spite of {gates}: {_counts(night)}"
        return Headline("warn", line, tuple(accepted.gates.items()), accepted.why, notes=_drift_notes(night))
    drift = night.figures.compared
    if night.manifest and not night.manifest.rows:
        return Headline("good", "Published: the input has no rows")
    warned = drift is not None and drift.verdict in {Verdict.WARNED, Verdict.FAILED}
    line = "Published, with a warning" if warned else "Published"
    return Headline("warn" if warned else "good", f"{line}: {_counts(night)}", notes=_drift_notes(night))


def _counts(night: NightFiles) -> str:
    manifest = night.manifest
    return f"{manifest.scored:,} of {count(manifest.rows, 'row')} have a score" if manifest else ""


def _held(night: NightFiles) -> Headline:
    gate = night.figures.gate or "a limit"
    error = (night.figures.error or "").split("; nothing is published")[0]
    date = f" --date {night.date}" if night.date else ""
    stands = "readers still see what was published before" if night.is_published else "readers see nothing of it"
    return Headline(
        "bad",
        f"Held by {gate}: {stands}",
        ((gate, error),),
        advice=f'nightscore run CONFIG{date} --accept "why"',
        notes=_drift_notes(night),
    )


def _drift_notes(night: NightFiles) -> tuple[str, ...]:
    drift = night.figures.compared
    if drift is None:
        return ()
    bad = [each for each in drift.worst_first if each.verdict in {Verdict.WARNED, Verdict.FAILED}]
    if bad:
        more = f", and {len(bad) - 3} more" if len(bad) > 3 else ""
        return (f"Unlike the reference nights: {_listed(bad[:3])}{more}.",)
    return (_calm(drift),)


def _calm(drift: DriftFigures) -> str:
    reason = drift.reference.reason
    if drift.verdict is Verdict.PASSED:
        return f"No drift, compared with {reason}."
    if not drift.reference.nights:
        return f"Drift is not evaluated: this is {reason}." if reason else "Drift is not evaluated."
    return "Drift is not evaluated: there are too few rows to tell."


def _listed(measures: Sequence[Measure]) -> str:
    return "; ".join(in_words(measure) for measure in measures)


def in_words(measure: Measure) -> str:
    """Return what a comparison found, with its numbers."""
    if measure.night is not None and measure.reference is not None:
        return f"{measure.of} {measure.night:.1%}, was {measure.reference:.1%}"
    return f"{measure.of}: stability index {measure.drift or 0:.2f}"
