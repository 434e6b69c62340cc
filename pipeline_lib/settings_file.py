"""Settings from a YAML file and from `key=value` overrides, with a word on everything that is wrong in them."""

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from pipeline_lib.config import Settings
from pipeline_lib.errors import SettingsError, did_you_mean, listed
from pipeline_lib.masking import shown

# A date that no month has is a ValueError, and brackets without end are a RecursionError.
_NOT_YAML = (yaml.YAMLError, ValueError, RecursionError)


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML's safe loader, which would silently keep the last of two equal keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} is set twice", node.start_mark)
        return super().construct_mapping(node, deep=deep)


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
        SettingsError: with one line for each thing that is wrong.
    """
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        lines = [_explain(dict(problem)) for problem in error.errors()]
        raise SettingsError(f"{where}: " + "; ".join(lines)) from None


def known_keys(section: type[BaseModel] = Settings, prefix: str = "") -> list[str]:
    """Return every setting as a dotted key, in the order of the README."""
    keys: list[str] = []
    for name, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            keys += known_keys(kind, f"{prefix}{name}.")
        else:
            keys.append(f"{prefix}{name}")
    return keys


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
        values = yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506 - a SafeLoader
    except _NOT_YAML as error:
        raise SettingsError(f"{path}: not valid YAML: " + " ".join(str(error).split())) from None
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
            raise SettingsError(f"--set {override!r}: {section!r} is not a section{_nearest_key(key)}")
        values = inner
    try:
        values[name] = yaml.safe_load(text) if text else None
    except _NOT_YAML as error:
        raise SettingsError(f"--set {override!r}: not a YAML value: " + " ".join(str(error).split())) from None


def _explain(problem: dict[str, Any]) -> str:
    key = ".".join(str(part) for part in problem["loc"] if part not in ("str", "list[str]"))
    found = problem["input"]
    if problem["type"] == "extra_forbidden":
        return f"unknown setting {key!r}{_nearest_key(key)}"
    if problem["type"] == "missing":
        return f"{key!r} is required"
    reason = str(problem["msg"]).removeprefix("Value error, ")
    return f"{key or 'settings'}: {reason} (found {shown(found)})" if key else reason


def _nearest_key(key: str) -> str:
    near = did_you_mean(key, [*known_keys(), *Settings.model_fields])
    if near:
        return near
    section, _, _ = key.rpartition(".")
    siblings = [known for known in known_keys() if known.rpartition(".")[0] == section]
    near = did_you_mean(key.rpartition(".")[2], [known.rpartition(".")[2] for known in known_keys()])
    return near or f" (known: {listed(siblings or list(Settings.model_fields))})"
