"""How an attempt at the job ended, with its closing line."""

from dataclasses import dataclass, field
from typing import Any

from pipeline_lib.messages import count, duration, size


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended."""

    status: str
    """PUBLISHED, COMPLETE (it was already), FAILED, or STOPPED (it was asked to end)."""
    version: str
    date: str | None
    rows: int
    scored: int
    """Rows with a score in published or staged slices; `rejected` counts in the same slices."""
    rejected: int
    rows_this_run: int
    """Rows that this attempt scored or rejected; earlier attempts did the others."""
    seconds: float
    peak_bytes: dict[str, list[int]] = field(default_factory=dict)
    """See `Work`, also for the next four."""
    scoring_seconds: float = 0.0
    busy: dict[str, float] = field(default_factory=dict)
    model_loads: int = 0
    rows_by_node: dict[str, int] = field(default_factory=dict)
    slices: int = 0
    staged_slices: int = 0
    """Slices with finished files, whichever attempt scored them."""
    files: int = 0
    """Published files of scored rows; 0 where nothing is published."""
    labels: dict[str, int] | None = None
    """Scored rows by label; None where an earlier release, which did not count them, scored some."""
    reject_codes: dict[str, int] | None = None
    """Rejected rows by reason; None in the same case."""
    truncated: int | None = None
    """Scored rows whose text was cut; None where an earlier release scored some, or before all are scored. Likewise
    the next three."""
    near_boundary: int | None = None
    """Scored rows that a small change would give another label."""
    mean_score: float | None = None
    tokens: int | None = None
    """Sum of the lengths of all texts, before they were cut."""
    accepted_gates: list[str] = field(default_factory=list)
    """The gates that had stopped the result, if it was accepted all the same."""
    error: str | None = None
    exit_code: int = 0

    @property
    def rows_per_second(self) -> float:
        """Rows of this attempt over all of its time, start-up included."""
        return self.rows_this_run / self.seconds if self.seconds else 0.0

    def figures(self) -> dict[str, Any]:
        """Return what programs ask for: status, counts, and labels and rejects by name."""
        names = ("status", "exit_code", "date", "version", "rows", "scored", "rejected", "seconds")
        return {name: getattr(self, name) for name in (*names, "labels", "reject_codes")}

    def closing_line(self, *, with_date: bool = True) -> str:
        """Return the closing line of a run; without the date where the date stands before it."""
        day = f"ds={self.date} " if self.date and with_date else ""
        counts = f"in={self.rows:,} scored={self.scored:,} rejected={self.rejected:,}"
        time = duration(self.seconds)
        if self.status in {"PUBLISHED", "COMPLETE"}:
            share = f"({self.rejected / max(self.rows, 1):.3%})"
            speed = (
                f"{self.rows_per_second:,.0f} rows/s with start-up" if self.rows_this_run else "nothing to score"
            )
            gates = f", accepted in spite of {', '.join(self.accepted_gates)}" if self.accepted_gates else ""
            return f"{self.status} {day}{counts} {share} {time} {speed}{gates}"
        if not self.version:
            return f"{self.status} {day}before anything was scored {time}"
        return f"{self.status} {day}{counts} staged={self.staged_slices:,} of {count(self.slices, 'slice')} {time}"

    def memory(self) -> str:
        """Return the peak memory of the attempt's processes in words, or nothing where none was measured."""
        if not self.peak_bytes:
            return ""
        roles = (
            f"{role} {f'{len(peaks)} x ' if len(peaks) > 1 else ''}{size(max(peaks))}"
            for role, peaks in self.peak_bytes.items()
        )
        return f"{size(sum(map(sum, self.peak_bytes.values())))} at most ({', '.join(roles)})"

    def pace(self) -> str:
        """Return the speed without start-up, and how busy each stage was, or nothing where nothing was scored."""
        if not self.scoring_seconds:
            return ""
        shares = ", ".join(f"{role} {share:.0%}" for role, share in self.busy.items())
        rate = self.rows_this_run / self.scoring_seconds
        return f"{rate:,.0f} rows/s while scoring, without start-up (busy: {shares})"
