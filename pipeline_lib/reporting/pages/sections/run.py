"""What a run took: time, speed and memory; and what it computed with."""

from dataclasses import dataclass
from typing import Any

from pipeline_lib.reporting.pages.facts.figures import NightFigures
from pipeline_lib.reporting.pages.facts.night_files import NightFiles


@dataclass(frozen=True)
class RunTime:
    """Time and speed of the run that made the result."""

    seconds: float
    scoring_seconds: float
    rows: int
    """That this run scored; earlier runs did the others."""
    tokens_per_second: float | None
    """While scoring; None where other runs scored some of the rows."""

    @classmethod
    def of(cls, figures: NightFigures) -> "RunTime | None":
        """Return the time of a run, or None where it is not known."""
        if not figures.seconds:
            return None
        whole = figures.rows_this_run == figures.rows and figures.tokens and figures.scoring_seconds
        return cls(
            figures.seconds,
            figures.scoring_seconds,
            figures.rows_this_run,
            (figures.tokens or 0) / figures.scoring_seconds if whole else None,
        )

    @property
    def startup_share(self) -> float | None:
        """Share of the time in which nothing was scored yet or any more; None where nothing was scored."""
        return max(0.0, 1 - self.scoring_seconds / self.seconds) if self.scoring_seconds else None

    @property
    def rows_per_second(self) -> float | None:
        """Start-up included."""
        return self.rows / self.seconds if self.rows else None

    @property
    def rows_per_second_scoring(self) -> float | None:
        """Without start-up."""
        return self.rows / self.scoring_seconds if self.rows and self.scoring_seconds else None


def model_facts(night: NightFiles) -> list[tuple[str, str]]:
    """Return what the scores were computed with, as names and values."""
    model = night.model
    facts = {
        "Model": model.get("name"),
        "Commit": model.get("commit"),
        "Files": f"SHA-256 {str(model['sha256'])[:16]}…" if model.get("sha256") else None,
        "Architecture": model.get("architecture"),
        "Limit": f"{model['max_tokens']:,} tokens" if isinstance(model.get("max_tokens"), int) else None,
        "Precision": model.get("precision"),
        "Computed by": _computed_by(night),
        "Version": night.figures.version,
    }
    return [(name, str(value)) for name, value in facts.items() if value]


def _computed_by(night: NightFiles) -> str:
    by: dict[str, Any] = dict(night.manifest.computed_by) if night.manifest else {}
    if len(by) < 2:
        return next(iter(by), "")
    return "; ".join(f"{how} ({slices:,} slices)" for how, slices in by.items())
