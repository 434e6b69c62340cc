"""What all sections of a settings file have in common."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from pipeline_lib.masking import has_secret, shown


class Section(BaseModel):
    """A part of a settings file: keys that are not known are errors, and values are of exactly their type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=())


def without_secret(url: str | None) -> str | None:
    """Refuse a URL that holds a password: paths are written to logs, receipts and manifests."""
    if url is not None and has_secret(url):
        raise ValueError(
            f"{shown(url)} has a password, token or signature in it; give it by the environment or the store's own "
            "configuration instead"
        )
    return url


def values_as_text(value: Any) -> Any:
    """Let stars and other numbers that stand for labels be written without quotes, as YAML reads them."""
    if not isinstance(value, dict):
        return value
    for key in value:
        if key is None or isinstance(key, bool):
            raise ValueError(f"YAML reads a key as {key}; write it in quotes, such as 'yes', or 1 for true")
    return {str(key): label for key, label in value.items()}
