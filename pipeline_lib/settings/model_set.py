"""Settings of several models over one input: a file with `models` stands for a job of each, which read together."""

from typing import Any

from pydantic import Field, field_validator, model_validator

from pipeline_lib.settings.sections.input import InputSettings
from pipeline_lib.settings.sections.limits import LimitSettings
from pipeline_lib.settings.sections.model import ModelSettings
from pipeline_lib.settings.sections.output import OutputSettings
from pipeline_lib.settings.sections.section import Section, values_as_text
from pipeline_lib.settings.sections.tuning import TuningSettings


class NamedModelSettings(ModelSettings):
    """One of several models."""

    name_here: str = Field(
        alias="as",
        pattern=r"^[A-Za-z][A-Za-z0-9_]*$",
        max_length=32,
        description="Its name here: the folder below output.path with its result, and what its columns begin with.",
    )

    truth_column: str | None = Field(None, min_length=1, description="As in input, for this model alone.")
    truth_labels: dict[str, str | None] = Field(
        default_factory=dict, description="As in input, for this model alone."
    )

    _values_as_text = field_validator("truth_labels", mode="before")(values_as_text)

    def sections(self) -> dict[str, dict[str, Any]]:
        """Return what a job of this model has in the sections `model` and `input`."""
        of_input = {"truth_column", "truth_labels"}
        return {
            "model": self.model_dump(exclude={"name_here", *of_input}),
            "input": self.model_dump(include=of_input),
        }


class ModelSetSettings(Section):
    """All settings of a file with several models, validated."""

    models: list[NamedModelSettings] = Field(
        min_length=1,
        description="In place of model: a list of several, each with the settings of model and a name (as).",
    )
    input: InputSettings
    output: OutputSettings
    limits: LimitSettings = LimitSettings()
    tuning: TuningSettings = TuningSettings()

    @field_validator("models")
    @classmethod
    def _distinct_names(cls, models: list[NamedModelSettings]) -> list[NamedModelSettings]:
        """Refuse names that are the same folder on some disks, and the same columns in some databases."""
        known: dict[str, str] = {}
        for name in (each.name_here for each in models):
            if name.casefold() in known:
                other = known[name.casefold()]
                raise ValueError(f"two models are named {name!r}" + (f" and {other!r}" if other != name else ""))
            known[name.casefold()] = name
        return models

    @model_validator(mode="after")
    def _nothing_of_one_model(self) -> "ModelSetSettings":
        if self.output.column_prefix:
            raise ValueError("output.column_prefix is for one model; the columns of several have their names (as)")
        if self.input.truth_column:
            raise ValueError(
                "input.truth_column is for one model; of several, name it with the one whose labels it has: "
                "models.NAME.truth_column"
            )
        return self

    def sections(self) -> dict[str, dict[str, Any]]:
        """Return the sections of a job for each model by its name; its folder and columns have that name."""
        return {each.name_here: self._sections_of(each) for each in self.models}

    def _sections_of(self, model: NamedModelSettings) -> dict[str, Any]:
        name, sections = model.name_here, model.sections()
        output = {"path": f"{self.output.path.rstrip('/')}/{name}", "column_prefix": f"{name}_"}
        return {
            "model": sections["model"],
            "input": {**self.input.model_dump(), **sections["input"]},
            "output": self.output.model_copy(update=output),
            "limits": self.limits,
            "tuning": self.tuning,
        }
