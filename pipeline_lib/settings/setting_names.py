"""The names of the settings, and which of them was meant by a name that is not one."""

import difflib

from pydantic import BaseModel

from pipeline_lib.errors import listed
from pipeline_lib.settings.settings import Settings

# Names that other tools have for these settings.
_OTHER_NAMES = {
    "batch_size": "tuning.tokens_per_batch",
    "checkpoint": "model.name",
    "columns": "input.keep_columns",
    "device": "tuning.gpus_per_model_actor",
    "dtype": "model.precision",
    "gpus": "tuning.gpus_per_model_actor",
    "max_length": "model.max_tokens",
    "num_workers": "tuning.model_actors",
    "return_all_scores": "output.scores",
    "threads": "tuning.cpus_per_model_actor",
    "top_k": "output.scores",
    "torch_dtype": "model.precision",
    "trust_remote_code": "model.allow_remote_code",
    "workers": "tuning.model_actors",
}


def known_keys(section: type[BaseModel] = Settings, prefix: str = "") -> list[str]:
    """Return every setting as a dotted key, in the order of `Settings`."""
    keys: list[str] = []
    for name, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            keys += known_keys(kind, f"{prefix}{name}.")
        else:
            keys.append(f"{prefix}{name}")
    return keys


def suggestion(key: str) -> str:
    """Return the end of a message about an unknown key: the setting that was probably meant, or all known ones."""
    section, _, name = key.rpartition(".")
    if section.startswith("models."):  # an entry has the settings of `model`
        return suggestion(f"model.{name}").replace("'model.", f"'{section}.")
    if key == "model.as":
        return "; it is the name of one of several models, which are a list under 'models'"
    if name in _OTHER_NAMES:
        return f"; did you mean {_OTHER_NAMES[name]!r}?"
    keys = [*known_keys(), *Settings.model_fields, "models"]
    siblings = [known for known in keys if known.rpartition(".")[0] == section]
    # Only the last parts are compared: whole keys of one section resemble each other by the section's name.
    for candidates in (siblings, keys):
        key_of = {known.rpartition(".")[2]: known for known in reversed(candidates)}
        match = difflib.get_close_matches(name, list(key_of), n=1, cutoff=0.7)
        if match:
            return f"; did you mean {key_of[match[0]]!r}?"
    return f" (known: {listed(siblings or list(Settings.model_fields), 20)})"
