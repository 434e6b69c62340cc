"""Verdicts on a night, and the limits that they come from."""

import enum
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

SCORE_DRIFT = 0.2
LABEL_DRIFT = 0.05


class Verdict(enum.StrEnum):
    """What a comparison says of a night; a later one is worse."""

    NOT_EVALUATED = "not_evaluated"
    PASSED = "passed"
    WARNED = "warned"
    FAILED = "failed"

    @property
    def severity(self) -> int:
        """Its place in the order."""
        return list(Verdict).index(self)


@dataclass(frozen=True)
class DriftLimits:
    """How much drift is certain before a night fails; None: it is never held, only warned of."""

    max_score_drift: float | None = SCORE_DRIFT
    """Of the population stability index; a night is warned of at half of it."""
    max_label_drift: float | None = LABEL_DRIFT
    """Of the share of a label, from 0 to 1; a night is warned of at two fifths of it."""


@dataclass(frozen=True)
class Measure:
    """One comparison of a night with its reference."""

    of: str
    """What was compared: `scores`, `scores of <label>`, `share of <label>`, `tokens`, `truncated` ..."""
    verdict: Verdict
    rows: int
    reference_rows: int
    night: float | None = None
    """The night's share; None for histograms."""
    reference: float | None = None
    """The reference's share; None for histograms."""
    drift: float | None = None
    """The stability index less its mean without a change, or the difference of the shares; None if not
    evaluated."""
    certain: float | None = None
    """What is certain of the drift; compared with the limits."""
    warn_above: float | None = None
    fail_above: float | None = None
    """None if this never holds a night."""
    design_effect: float = 1.0

    def to_json(self) -> dict[str, Any]:
        """Return the measure as JSON values."""
        return {
            name: round(value, 6) if isinstance(value, float) else value for name, value in asdict(self).items()
        }


@dataclass(frozen=True)
class Limit:
    """Drift above which a night is warned of, and above which it fails."""

    warn: float
    fail: float | None

    def doubled(self) -> "Limit":
        """Return twice the limit."""
        return Limit(2 * self.warn, None if self.fail is None else 2 * self.fail)

    def verdict(self, certain: float) -> Verdict:
        """Return the verdict on what is certain of a drift."""
        if self.fail is not None and certain > self.fail:
            return Verdict.FAILED
        return Verdict.WARNED if certain > self.warn else Verdict.PASSED


def worst(measures: Sequence[Measure]) -> Verdict:
    """Return the worst verdict; not evaluated if none is."""
    return max((measure.verdict for measure in measures), key=lambda v: v.severity, default=Verdict.NOT_EVALUATED)
