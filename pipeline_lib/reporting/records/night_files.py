"""The files of a night beside its parts: its metrics and its page."""

from dataclasses import replace

from pipeline_lib.errors import NightscoreError
from pipeline_lib.planning.plan import Plan
from pipeline_lib.planning.resume.output_state import OutputState
from pipeline_lib.publishing.night_statistics import has_same_truth, published_statistics
from pipeline_lib.reporting.attempt import Attempt
from pipeline_lib.reporting.outcome import Outcome
from pipeline_lib.reporting.pages.writing import write_page
from pipeline_lib.reporting.records.endings import told_of
from pipeline_lib.reporting.records.night_metrics import night_metrics, recorded_night
from pipeline_lib.reporting.records.run_record import PublishedResult
from pipeline_lib.storage.location import Location
from pipeline_lib.storage.records import METRICS, REPORT, STAGING, to_json
from pipeline_lib.storage.store_errors import translated_errors

_NO_TRUTH = (
    "no truth is shown, since rows of this output were scored with other settings for input.truth_column, and "
    "truth is read while rows are scored; use another output.path"
)


class NightFiles:
    """Writes the metrics and the page of a night, once it is published or held.

    Args:
        attempt: the run.
        output: the state of the output folder before the run.
        folder: that folder.
        dated_output: its path as in the settings, with `{date}` still in it.
        is_own: whether a run may write there at all.
    """

    def __init__(
        self, attempt: Attempt, output: OutputState, folder: Location, dated_output: str, *, is_own: bool
    ) -> None:
        self._attempt, self._output, self._folder = attempt, output, folder
        self._dated_output, self._is_own = dated_output, is_own

    def take_over(self, plan: Plan, published: PublishedResult | None) -> bool:
        """Tell whether the metrics are of what is published, by a run before this one; if so, take them over.

        A run that was killed after it had published has left none.
        """
        if published is None or plan.published is None:
            return True
        told = recorded_night(self._folder, published.manifest_sha256)
        night = told or published_statistics(plan, plan.published)
        if night.rows:
            same = has_same_truth(plan, plan.published)
            self._attempt.night = night if same else replace(night, truth=None)
        return told is not None or night.rows is None

    def note_missing_truth(self, plan: Plan) -> None:
        """Say why there is no truth where the settings ask for it."""
        night = self._attempt.night
        if plan.settings.input.truth_column and night and night.rows and night.truth is None:
            self._attempt.notes.append(_NO_TRUTH)

    def write_metrics(
        self, outcome: Outcome, plan: Plan, published: PublishedResult | None, *, held: bool = False
    ) -> None:
        """Write the metrics of a night that is published, or that a gate held.

        Raises:
            NightscoreError: the storage failed.
        """
        night = self._attempt.night
        if not self._is_own or night is None:
            return
        folder = self._folder / STAGING / plan.version if held else self._folder
        metrics = night_metrics(night, plan, published.manifest_sha256 if published else None)
        with translated_errors(self._output.url, "recording the run"):
            (folder / METRICS).write(to_json({**told_of(outcome), **metrics}))

    def write_page(self) -> None:
        """Write the page of the night; a run never fails by that."""
        if not self._is_own:
            return
        try:
            self._attempt.page = write_page(self._dated_output, self._attempt.date)
        except Exception as error:  # noqa: BLE001 - the result stands, whatever is wrong with its page
            why = str(error) if isinstance(error, NightscoreError) else type(error).__name__
            self._attempt.notes.append(f"the page of the night was not written: {why}")

    def name_page(self) -> None:
        """Name the page that is there already."""
        if REPORT in self._output.files:
            self._attempt.page = (self._folder / REPORT).url
