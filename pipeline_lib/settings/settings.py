"""The settings of a job."""

import datetime as dt

from pydantic import model_validator

from pipeline_lib.errors import SettingsError
from pipeline_lib.settings.sections.input import InputSettings
from pipeline_lib.settings.sections.limits import LimitSettings
from pipeline_lib.settings.sections.model import ModelSettings
from pipeline_lib.settings.sections.output import OutputSettings
from pipeline_lib.settings.sections.section import Section
from pipeline_lib.settings.sections.tuning import TuningSettings


class Settings(Section):
    """All settings of one job, validated."""

    model: ModelSettings
    input: InputSettings
    output: OutputSettings
    limits: LimitSettings = LimitSettings()
    tuning: TuningSettings = TuningSettings()

    @model_validator(mode="after")
    def _distinct_columns(self) -> "Settings":
        if self.input.text_pair_column == self.input.text_column:
            raise ValueError("input.text_pair_column is the same column as input.text_column")
        return self

    @model_validator(mode="after")
    def _windows_of_single_texts(self) -> "Settings":
        if self.model.long_texts == "windows" and self.input.text_pair_column:
            raise ValueError(
                "model.long_texts: windows are for single texts, and input.text_pair_column names a second one; "
                "allowed is truncate"
            )
        return self

    @model_validator(mode="after")
    def _reference_of_nights(self) -> "Settings":
        if self.limits.reference_date and "{date}" not in self.output.path:
            raise ValueError("limits.reference_date is a night, but output.path has no {date} in it")
        return self

    def on_date(self, date: dt.date | None) -> "Settings":
        """Return these settings with `{date}` filled in as YYYY-MM-DD.

        Raises:
            SettingsError: a path has `{date}` and no date was given, or a date was given and no path has `{date}`.
        """
        templates = [*self.input.paths, self.output.path]
        dated = any("{date}" in path for path in templates)
        if dated and date is None:
            raise SettingsError("the paths contain {date}; give the day with --date YYYY-MM-DD")
        if date is None:
            return self
        if not dated:
            raise SettingsError("--date was given, but neither input.path nor output.path contains {date}")
        filled = [path.replace("{date}", date.isoformat()) for path in templates]
        return self.model_copy(
            update={
                "input": self.input.model_copy(update={"path": filled[:-1]}),
                "output": self.output.model_copy(update={"path": filled[-1]}),
            }
        )
