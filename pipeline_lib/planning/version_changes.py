"""The differences between two versions, by the names of the settings that decide them."""

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline_lib.settings.setting_names import known_keys
from pipeline_lib.settings.settings import Settings
from pipeline_lib.storage.records import Manifest

_MOST = 6
_LONGEST_VALUE = 80

# What of a fingerprint a setting decides alone.
_SETTINGS = {
    "calibration": "the texts of model.calibration",
    "count_tokens": "model.count_tokens",
    "precision": "model.precision",
    "rows_per_slice": "tuning.rows_per_slice",
    "tokens_per_batch": "tuning.tokens_per_batch",
    "threads": "tuning.cpus_per_model_actor",
    "windows.join": "model.window_join",
    "windows.long_texts": "model.long_texts",
    "windows.stride": "model.window_stride",
}
_FACTS = {
    "activation": "the activation",
    "checkpoint": "the checkpoint's content",
    "engine": "the engine",
    "format": "the form of the output",
    "max_tokens": "the limit in tokens",
}


def differences(old: Manifest, settings: Settings, fingerprint: Mapping[str, Any]) -> str:
    """Return what makes the version of these settings another than the one of a manifest, old and new.

    Columns of the input are counted, not named: without a header they would be texts.

    Args:
        old: what is published.
        settings: of the version to be made.
        fingerprint: of the version to be made.
    """
    before, after = dict(_flat(old.fingerprint)), dict(_flat(fingerprint))
    differing = [key for key in {**after, **before} if before.get(key) != after.get(key)]
    lines = [
        f"{_name(key)} was {_value(before, key)}, is now {_value(after, key)}"
        for key in differing
        if key != "checkpoint" and not key.startswith("columns.")
    ]
    if "checkpoint" in differing:
        names = old.model.get("name"), settings.model.name
        was = f" (model.name was {names[0]!r}, is now {names[1]!r})" if names[0] != names[1] else ""
        lines.insert(0, f"{_FACTS['checkpoint']} differs{was}")
    columns = sum(key.startswith("columns.") for key in differing)
    if columns and not any(key.startswith(("input.", "output.")) for key in differing):
        lines.append(f"{columns:,} of the columns differ by name or type")
    more = f"; and {len(lines) - _MOST:,} more" if len(lines) > _MOST else ""
    return "; ".join(lines[:_MOST]) + more


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _name(key: str) -> str:
    if key in known_keys():
        return key
    return _SETTINGS.get(key) or _FACTS.get(key) or key.replace("_", " ")


def _value(values: Mapping[str, Any], key: str) -> str:
    text = repr(values[key]) if key in values else "not there"
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"
