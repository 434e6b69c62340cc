"""A night: one date of an output, with its state and what its records tell about it."""

import datetime as dt
from dataclasses import asdict, dataclass
from typing import Any, Literal

State = Literal["published", "held", "failed", "running", "interrupted", "no_input", "missing", "stale"]
STATES: tuple[State, ...] = (
    "published",
    "held",
    "failed",
    "running",
    "interrupted",
    "no_input",
    "missing",
    "stale",
)
"""The states of a night.

===========  =========================================================================================
published    what readers see is what a run would make now
held         a gate stopped the newest run; what it scored is staged
failed       the newest run failed
running      a run is at work
interrupted  the newest run was killed, or stopped by a signal
no_input     the input is not there yet
missing      the input is there, and no run has begun
stale        something is published, but a run would make another version now, or the input has changed
===========  =========================================================================================
"""


@dataclass(frozen=True)
class Night:
    """A night as `status` shows it."""

    date: dt.date | None
    """None for an output without dates."""
    state: State
    reason: str = ""
    """Why it is in this state, in words."""
    rows: int | None = None
    """Rows of the input: of what is published, else as far as the newest run knew."""
    scored: int | None = None
    rejected: int | None = None
    exit_code: int | None = None
    """Of the newest run; None where there is none, or where it has no end."""
    version: str | None = None
    finished_at: str | None = None
    """When it was published, or when the newest run ended; UTC."""
    started_at: str | None = None
    """When the newest run began."""
    seconds: float | None = None
    """How long the run took that published it, or the newest one."""
    gate: str | None = None
    model: str | None = None
    commit: str | None = None
    attempt: int | None = None
    """The number of the newest run."""
    host: str | None = None
    accepted: str | None = None
    """The words by which it was accepted although a gate had stopped it."""
    name: str = ""
    """The name of its model, if the settings file has several."""

    @property
    def title(self) -> str:
        """Its date and the name of its model, as far as it has them."""
        return " ".join(str(each) for each in (self.date, self.name) if each) or "-"

    def as_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        names = {} if self.name else {"name"}
        fields = {name: value for name, value in asdict(self).items() if name not in names}
        return {**fields, "date": self.date.isoformat() if self.date else None}
