"""What one night prints while it is worked on: alone all that is known of it, beside others a line or two."""

from pipeline_lib.messages import count
from pipeline_lib.planning.plan import Plan
from pipeline_lib.publishing.night_statistics import NightStatistics
from pipeline_lib.reporting.attempt import Attempt
from pipeline_lib.reporting.terminal.judgement import judgement_notes
from pipeline_lib.reporting.terminal.plan_lines import plan_lines
from pipeline_lib.reporting.terminal.progress import Progress
from pipeline_lib.storage.records import Manifest

# What the paths of a night say already, or what is the same in all nights, or in all of one model.
_OF_EACH_NIGHT = ("input", "note")
_OF_ALL_NIGHTS = ("columns", "")
_OF_EACH_MODEL = ("model", "labels")


class NightProgress:
    """Prints what happens to a night.

    Args:
        progress: of the whole command.
        attempt: at the night.
    """

    def __init__(self, progress: Progress, attempt: Attempt) -> None:
        self._progress, self._attempt = progress, attempt

    def discovering(self) -> None:
        """Print that the night's input is looked at."""
        doing = "listing the input and reading its columns"
        self._attempt.phase = doing
        if self._progress.is_one_night:
            self._progress.phase(doing)
        else:
            self._progress.silent_phase(f"{self._attempt.title}: {doing}")

    def planned(self, plan: Plan) -> None:
        """Print the plan; of several nights, what they have in common is printed once."""
        self._attempt.phase = "planned"
        for topic, text in plan_lines(plan):
            if self._progress.is_one_night:
                self._progress.tell(topic, text)
            elif topic in _OF_EACH_NIGHT:
                self._progress.tell(topic, f"{self._attempt.title}: {text}")
            elif topic in _OF_ALL_NIGHTS:
                self._progress.tell_once(topic, text)
            elif topic in _OF_EACH_MODEL:
                model = self._attempt.model
                self._progress.tell_once(topic, f"{model}: {text}" if model else text)

    def note(self, text: str) -> None:
        """Print what the user should know and is no failure."""
        self._progress.note(text if self._progress.is_one_night else f"{self._attempt.title}: {text}")

    def publishing(self) -> None:
        """Print that scoring is over."""
        doing = "joining slices into files, recounting rows, moving the files into place"
        self._attempt.phase, self._attempt.is_writing = doing, True
        if self._progress.is_one_night:
            self._progress.close()
            self._progress.phase(doing, "publish")
        else:
            self._progress.silent_phase(f"{self._attempt.title}: {doing}", "publish")

    def joined(self, files: int, of_files: int) -> None:
        """Note how many files slices have been joined into."""
        self._attempt.phase = f"joining slices into files, {files:,} of {count(of_files, 'file')} done"
        if self._progress.is_one_night:
            self._progress.went_on(self._attempt.phase)

    def judged(self, night: NightStatistics, plan: Plan) -> None:
        """Print what the user should know about the rows of a night and their comparison with earlier nights."""
        for text in judgement_notes(night, plan):
            self.note(text)

    def published(self, manifest: Manifest) -> None:
        """Print what the user should know about the manifest of a result."""
        self._attempt.accepted, self._attempt.files = manifest.accepted, len(manifest.published)
        if manifest.accepted:
            for found in manifest.accepted.gates.values():
                self.note(f"accepted: {found}")
        ways = len(manifest.computed_by)
        if ways > 1:
            self.note(f"slices were computed in {ways} ways; computed_by in the manifest")
