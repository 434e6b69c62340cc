"""An estimate of a run: how long it takes and what comes out, each figure with an interval."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline_lib.estimating.figures import Interval

ACTORS = (1, 2, 4, 8, 16, 32)


@dataclass(frozen=True)
class Estimate:
    """What a run is expected to be like."""

    rows: int
    """Left to score."""
    slices: int
    actors: int
    device: str
    basis: str
    """What it is made from, in words."""
    local: bool
    """Whether the run works in one process, without Ray."""
    rows_per_second: Interval
    """While scoring."""
    scoring_seconds: Interval
    start_seconds: Interval
    """Until the first slice begins, and from the last one's end to publishing."""
    start_basis: str
    tokens_per_row: Interval
    truncated_share: Interval
    """Of the scored rows."""
    rejected_share: Interval
    reject_codes: Mapping[str, float] = field(default_factory=dict)
    """Expected rows by code."""
    bytes: Interval | None = None
    """Of parts and rejects."""
    sample_rows: int = 0
    made_at: str = ""

    @property
    def seconds(self) -> Interval:
        """Of all of the run."""
        return self.scoring_seconds + self.start_seconds

    @property
    def tokens(self) -> Interval:
        """That go through the model."""
        return self.tokens_per_row.scaled(self.rows)

    def hours_at(self, actors: int) -> Interval:
        """Return the hours with another number of actors of this kind, each with as much of a machine."""
        return (self.scoring_seconds.scaled(self.actors / actors) + self.start_seconds).scaled(1 / 3600)

    def to_json(self) -> dict[str, Any]:
        """Return all figures as JSON values."""
        intervals = {
            name: getattr(self, name).to_json()
            for name in (
                *("rows_per_second", "scoring_seconds", "start_seconds", "seconds", "tokens", "tokens_per_row"),
                *("truncated_share", "rejected_share"),
            )
        }
        counts = sorted({*ACTORS, self.actors})
        return {
            **{
                name: getattr(self, name)
                for name in ("rows", "slices", "actors", "device", "basis", "local", "start_basis", "sample_rows")
            },
            **intervals,
            "bytes": self.bytes.to_json() if self.bytes else None,
            "reject_codes": {code: round(rows, 1) for code, rows in self.reject_codes.items()},
            "hours_at_actors": {str(number): self.hours_at(number).to_json() for number in counts},
            "made_at": self.made_at,
        }
