"""Settings from a YAML file and from `key=value` overrides; an error names everything that is wrong in them."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline_lib.errors import SettingsError, did_you_mean, listed
from pipeline_lib.masking import masked, shown
from pipeline_lib.settings.setting_names import suggestion
from pipeline_lib.settings.settings import Settings
from pipeline_lib.settings.strict_yaml import load_yaml


def load_settings(path: Path, overrides: Sequence[str] = ()) -> Settings:
    """Read a YAML file, apply `key=value` overrides and validate the result.

    Raises:
        SettingsError: the file can't be read, a key is unknown, or a value is not allowed.
    """
    values = _read_yaml(path)
    for override in overrides:
        _override(values, override)
    return parse_settings(values, where=str(path))


def parse_settings(values: dict[str, Any], where: str = "settings") -> Settings:
    """Validate settings given as nested dictionaries.

    Raises:
        SettingsError: the message has a clause for each wrong setting.
    """
    try:
        return Settings.model_validate(values)
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
    for section in sections:
        inner = values.setdefault(section, {})
        if not isinstance(inner, dict):
            raise SettingsError(f"--set {override!r}: {section!r} is not a section{suggestion(key)}")
        values = inner
    try:
        values[name] = load_yaml(text) if text else None
    except ValueError as error:
        raise SettingsError(f"--set {override!r}: not a YAML value: {error}") from None


def _describe(problem: dict[str, Any]) -> str:
    """Return a clause about one of pydantic's validation errors."""
    key = ".".join(str(part) for part in problem["loc"] if part not in ("str", "list[str]"))
    value = problem["input"]
    if problem["type"] == "extra_forbidden":
        return f"unknown setting {key!r}{suggestion(key)}"
    if problem["type"] == "missing":
        return f"{key!r} is required"
    reason = str(problem["msg"]).removeprefix("Value error, ")
    reason = re.sub(r" or instance of \w+$", "", reason)
    if problem["type"] == "list_type":
        reason += f", such as [{masked(value):.80}]" if isinstance(value, str) else ", such as [a, b]"
    return f"{key or 'settings'}: {reason} (found {shown(value)})" if key else reason
