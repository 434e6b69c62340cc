"""How the last run ended, as a file of metrics for the textfile collector of Prometheus's node_exporter.

Samples have no time stamps, which that collector refuses; times are values. When a run last succeeded, and its
figures, are kept from the earlier file, so that a run that fails does not lose them.
"""

import time
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge

from pipeline_lib.reporting.outcome import Outcome
from pipeline_lib.reporting.textfile import read_samples, write_metrics

_JOB = "scoring_job"
"""Not `job`: Prometheus has that label itself, for what it reads from. `execution.run_metrics` has the same one."""
_PREFIX = "nightscore_"
_STARTED = "nightscore_run_start_timestamp_seconds"
_EXIT_CODE = "nightscore_last_run_exit_code"
_STATUS = "nightscore_last_run_status"
_STATUSES = ("PUBLISHED", "COMPLETE", "FAILED", "STOPPED")
_FIGURES = {
    "timestamp_seconds": "When {which} ended, in seconds since 1970.",
    "duration_seconds": "How long {which} took.",
    "rows": "Rows in the input of {which}.",
    "scored_rows": "Rows with a score, published or staged, after {which}.",
    "rejected_rows": "Rows without a score, published or staged, after {which}.",
    "rows_per_second": "Rows that {which} scored or rejected itself, over all of its time.",
    "peak_memory_bytes": "Sum of the peak memory of all processes of {which}.",
}
_HELP = {
    _STARTED: "When the last run began, in seconds since 1970; later than the end of the last run while one works.",
    _EXIT_CODE: "The exit code of the last run.",
    **{
        f"nightscore_last_{which}_{name}": text.format(which=words)
        for which, words in (("run", "the last run"), ("success", "the last run that exited with 0"))
        for name, text in _FIGURES.items()
    },
}


class MetricsFile:
    """The file of metrics of a job.

    Args:
        path: where it is; the folder must be there.
        job: the job's name, the label of all metrics.

    Raises:
        SettingsError: the file can't be there, or something else is.
    """

    def __init__(self, path: Path, job: str) -> None:
        self._path, self._job = path, job
        self._values: dict[str, float] = {}
        self._status = ""
        self._is_over = False
        for sample in read_samples(path, _PREFIX):
            if sample.name in _HELP:
                self._values[sample.name] = sample.value
            elif sample.name == _STATUS and sample.value:
                self._status = sample.labels.get("status", "")

    def begin(self) -> None:
        """Write that a run has begun; how the earlier one ended stays.

        Raises:
            SettingsError: the file can't be written.
        """
        self._values[_STARTED] = time.time()
        self._write()

    def ended(self, outcome: Outcome) -> None:
        """Write how the run ended; only the first call counts.

        Raises:
            SettingsError: the file can't be written any more.
        """
        if self._is_over:
            return
        self._is_over = True
        ends = ("run", "success") if outcome.exit_code == 0 else ("run",)
        for which in ends:
            for name, value in _figures_of(outcome).items():
                key = f"nightscore_last_{which}_{name}"
                self._values.pop(key, None)
                if value is not None:
                    self._values[key] = value
        self._values[_EXIT_CODE] = outcome.exit_code
        self._status = outcome.status
        self._write()

    def _write(self) -> None:
        registry = CollectorRegistry()
        for name, text in _HELP.items():
            if name in self._values:
                Gauge(name, text, [_JOB], registry=registry).labels(self._job).set(self._values[name])
        if self._status:
            status = Gauge(
                _STATUS, "1 for how the last run ended, 0 for the others.", [_JOB, "status"], registry=registry
            )
            for name in _STATUSES:
                status.labels(self._job, name).set(name == self._status)
        write_metrics(self._path, registry)


def _figures_of(outcome: Outcome) -> dict[str, float | None]:
    """Return the figures of a run by name; None for what it does not know."""
    planned = bool(outcome.version)
    return {
        "timestamp_seconds": time.time(),
        "duration_seconds": outcome.seconds,
        "rows": outcome.rows if planned else None,
        "scored_rows": outcome.scored if planned else None,
        "rejected_rows": outcome.rejected if planned else None,
        "rows_per_second": outcome.rows_per_second if outcome.rows_this_run else None,
        "peak_memory_bytes": sum(map(sum, outcome.peak_bytes.values())) or None,
    }
