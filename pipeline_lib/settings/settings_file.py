"""Settings from a YAML file and from `key=value` overrides; an error names everything that is wrong in them."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from pipeline_lib.errors import SettingsError, did_you_mean, listed
from pipeline_lib.masking import masked, shown
from pipeline_lib.settings.model_set import ModelSetSettings
from pipeline_lib.settings.setting_names import suggestion
from pipeline_lib.settings.settings import Settings
from pipeline_lib.settings.strict_yaml import load_yaml

Jobs = dict[str, Settings]
"""Settings of jobs by the names of their models; the one job of a file with `model` has the empty name."""

_S = TypeVar("_S", bound=BaseModel)


def load_settings(path: Path, overrides: Sequence[str] = ()) -> Settings:
    """Read the settings of one job from a YAML file, apply `key=value` overrides and validate the result.

    Raises:
        SettingsError: the file can't be read, a key is unknown, a value is not allowed, or models are several.
    """
    jobs = load_jobs(path, overrides)
    if len(jobs) > 1:
        raise SettingsError(f"{path}: names several models ({listed(jobs)}), and one is needed here")
    return next(iter(jobs.values()))


def settings_schema() -> dict[str, Any]:
    """Return the JSON schema of a settings file: with one model, or with several."""
    return TypeAdapter(Settings | ModelSetSettings).json_schema()


def load_jobs(path: Path, overrides: Sequence[str] = (), model: str | None = None) -> Jobs:
    """Read a YAML file, apply `key=value` overrides and validate the result.

    Args:
        path: of the file.
        overrides: such as `output.logits=true`.
        model: of several, the name of the only one that is wanted.

    Raises:
        SettingsError: the file can't be read, a key is unknown, a value is not allowed, or there is no such model.
    """
    values = _read_yaml(path)
    for override in overrides:
        _override(values, override)
    jobs = parse_jobs(values, where=str(path))
    if model is None:
        return jobs
    if model not in jobs:
        known = f"{path} has {listed(jobs)}" if "" not in jobs else f"{path} has one model, which has no name"
        raise SettingsError(f"--model: there is no model {model!r}; {known}{did_you_mean(model, jobs)}")
    return {model: jobs[model]}


def parse_jobs(values: dict[str, Any], where: str = "settings") -> Jobs:
    """Validate the settings of one job, or of one for each of several models, given as nested dictionaries.

    Raises:
        SettingsError: the message has a clause for each wrong setting.
    """
    if "models" not in values:
        return {"": parse_settings(values, where)}
    if "model" in values:
        raise SettingsError(
            f"{where}: model and models are both there; a file has one of them. A setting of one of several models "
            "is named such as models.NAME.precision"
        )
    if not isinstance(values["models"], list):
        example = "{as: sentiment, name: org/model}"
        raise SettingsError(f"{where}: models: expected a list of entries such as {example}")
    together = _validated(ModelSetSettings, values, where)
    return {name: parse_settings(each, f"{where}: models.{name}") for name, each in together.sections().items()}


def parse_settings(values: Mapping[str, Any], where: str = "settings") -> Settings:
    """Validate the settings of one job, given as nested dictionaries.

    Raises:
        SettingsError: the message has a clause for each wrong setting.
    """
    return _validated(Settings, values, where)


def _validated(kind: type[_S], values: Mapping[str, Any], where: str) -> _S:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        clauses = [_describe(dict(problem)) for problem in error.errors()]
        raise SettingsError(f"{where}: " + "; ".join(clauses)) from None


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        folder = path.parent
        near = [str(p) for p in folder.glob("*.y*ml")] if folder.is_dir() else []
        raise SettingsError(
            f"no settings file {str(path)!r}{did_you_mean(str(path), near)}"
            + (f" (in {str(folder)!r}: {listed(sorted(near))})" if near else "")
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"can't read the settings file {str(path)!r}: {error}") from None
    try:
        values = load_yaml(text)
    except ValueError as error:
        raise SettingsError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(values, dict):
        raise SettingsError(f"{path}: expected sections such as 'model:' and 'input:', found {shown(values)}")
    return values


def _override(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals:
        raise SettingsError(f"--set {override!r}: expected key=value, such as output.logits=true")
    *sections, name = key.strip().split(".")
    if sections[:1] == ["models"] and len(sections) > 1:
        values, sections = _named_model(values, sections[1], override), sections[2:]
    for section in sections:
        inner = values.setdefault(section, {})
        if not isinstance(inner, dict):
            raise SettingsError(f"--set {override!r}: {section!r} is not a section{suggestion(key)}")
        values = inner
    try:
        values[name] = load_yaml(text) if text else None
    except ValueError as error:
        raise SettingsError(f"--set {override!r}: not a YAML value: {error}") from None


def _named_model(values: dict[str, Any], name: str, override: str) -> dict[str, Any]:
    """Return the entry of one of several models."""
    models = values.get("models")
    entries = [each for each in models if isinstance(each, dict)] if isinstance(models, list) else []
    by_name = {str(each.get("as")): each for each in entries}
    if name not in by_name:
        known = f"the models are {listed(by_name)}" if by_name else "the file has no models"
        raise SettingsError(f"--set {override!r}: there is no model {name!r}; {known}{did_you_mean(name, by_name)}")
    return by_name[name]


def _describe(problem: dict[str, Any]) -> str:
    """Return a clause about one of pydantic's validation errors."""
    key = ".".join(str(part) for part in problem["loc"] if part not in ("str", "list[str]"))
    value = problem["input"]
    if problem["type"] == "extra_forbidden":
        return f"unknown setting {key!r}{suggestion(key)}"
    if problem["type"] == "missing":
        return f"{key!r} is required" + (", or 'models' for several" if key == "model" else "")
    reason = str(problem["msg"]).removeprefix("Value error, ")
    reason = re.sub(r" or instance of \w+$", "", reason)
    if problem["type"] == "list_type":
        reason += f", such as [{masked(value):.80}]" if isinstance(value, str) else ", such as [a, b]"
    return f"{key or 'settings'}: {reason} (found {shown(value)})" if key else reason
