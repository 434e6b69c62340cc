"""How far a run is, as custom metrics of Ray, which Prometheus reads from every machine of a cluster.

Ray puts `ray_` before each name. They show progress while a run works, and are gone with its Ray: how a run ended
is told by its record and by `reporting.metrics_file`. Ray exports them only where `ray[default]` is installed.
"""

from collections.abc import Mapping

from ray.util.metrics import Counter, Gauge

_JOB = "scoring_job"
"""Not `job`: Prometheus has that label itself, for what it reads from."""


class RunMetrics:
    """The metrics of a run. Tags have few values: the job's name, the codes of rejects, and the roles of actors.

    A slice that is done again, since its worker was lost, counts once.

    Args:
        job: the name of the job.
    """

    def __init__(self, job: str) -> None:
        self._tags = {_JOB: job}
        self._rows_planned = 0
        self._rows_of: dict[tuple[int, int, int], int] = {}
        self._classified: set[tuple[int, int, int]] = set()
        self._written: set[tuple[int, int, int]] = set()
        self._planned = Gauge("nightscore_rows_planned", "Rows that the running job has to score.", (_JOB,))
        self._rows = Counter("nightscore_rows_total", "Rows that are done, rejected ones too.", (_JOB,))
        self._tokens = Counter("nightscore_tokens_total", "Tokens that went through the model.", (_JOB,))
        self._rejects = Counter(
            "nightscore_rejected_rows_total", "Rows that were rejected, by code.", (_JOB, "code")
        )
        self._busy = Gauge(
            "nightscore_stage_busy_ratio",
            "Share of the time since scoring began in which the actors of a stage worked, from 0 to 1.",
            (_JOB, "role"),
        )

    def planned(self, rows: int) -> None:
        """Set how many rows the run has to score."""
        self._rows_planned = rows

    def scored(self, part: tuple[int, int, int], rows: int, tokens: int) -> None:
        """Count a slice of which `rows` are done by now; `tokens` is 0 until all of it is done."""
        more = rows - self._rows_of.get(part, 0)
        if more > 0:
            self._rows_of[part] = rows
            self._rows.inc(more, self._tags)
        if tokens and part not in self._classified:
            self._classified.add(part)
            self._tokens.inc(tokens, self._tags)

    def written(self, part: tuple[int, int, int], reject_codes: Mapping[str, int]) -> None:
        """Count the rejects of a slice."""
        if part not in self._written:
            self._written.add(part)
            for code, rows in reject_codes.items():
                self._rejects.inc(rows, {**self._tags, "code": code})

    def refresh(self, busy: Mapping[str, float]) -> None:
        """Set the gauges; to be called again and again, since Ray forgets a gauge that is not set for some seconds.

        Args:
            busy: share of the time in which the actors of each role worked.
        """
        if self._rows_planned:
            self._planned.set(self._rows_planned, self._tags)
        for role, share in busy.items():
            self._busy.set(share, {**self._tags, "role": role})
