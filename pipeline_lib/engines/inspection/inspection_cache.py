"""What was found about a checkpoint, kept on this machine: the next run need not load it to know."""

import contextlib
import hashlib
import platform
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from pipeline_lib.checkpoints.checkpoint import Checkpoint, resolve_activation
from pipeline_lib.checkpoints.checkpoint_json import read_config
from pipeline_lib.engines.openvino.openvino_engine import auto_engine
from pipeline_lib.machine.cache_folders import cache_folder, read_own, write_own
from pipeline_lib.machine.library_versions import library_versions
from pipeline_lib.settings.settings import Settings

_FORM = 3
"""Of what is kept and of how it is found; raised when either changes, so that nothing older is believed."""


@dataclass(frozen=True)
class _Record:
    form: int
    checkpoint: Checkpoint


_RECORD = TypeAdapter(_Record)


def remembered(
    settings: Settings, folder: Path, content: str, commit: str | None, look: Callable[[], Checkpoint]
) -> Checkpoint:
    """Return what is known of a checkpoint; look at it if nothing is.

    Known is what was found for the same files, settings and libraries on a processor of the same kind. Mistakes are
    not kept, and code that comes with a checkpoint is always tried: it may bring files that are not looked at here.
    Labels and activation, which name every answer, are read from the configuration each time; where they are not
    those that were kept, the checkpoint is looked at again.

    Args:
        settings: what is asked of the checkpoint.
        folder: where its files are.
        content: its fingerprint.
        commit: its commit, if it comes from a hub.
        look: loads the checkpoint and tries it.

    Raises:
        SettingsError: what is kept lies where others may write.
    """
    if settings.model.allow_remote_code:
        return look()
    pairs = settings.input.text_pair_column is not None
    asked = settings.model.model_dump(exclude={"name", "revision"})
    key = repr((content, asked, pairs, library_versions(), platform.machine(), auto_engine()))
    try:
        path = cache_folder("examined") / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
    except OSError:  # a home that can't be written: everything works, only later
        return look()
    with contextlib.suppress(OSError, ValidationError):
        kept = _RECORD.validate_json(read_own(path))
        if kept.form == _FORM and kept.checkpoint.fingerprint == content:
            found = replace(kept.checkpoint, name=settings.model.name, commit=commit)
            if _names_answers(found, settings, folder):
                return found
    found = look()
    with contextlib.suppress(OSError):
        write_own(path, _RECORD.dump_json(_Record(_FORM, found)))
    return found


def _names_answers(kept: Checkpoint, settings: Settings, folder: Path) -> bool:
    """Tell whether labels and activation are those of the configuration, read without loading anything."""
    config = read_config(folder, settings.model)
    named = config.get("id2label") or {str(index): f"LABEL_{index}" for index in range(len(kept.labels))}
    try:
        labels = tuple(str(named[str(index)]) for index in range(len(named)))
        activation = resolve_activation(settings.model, config.get("problem_type"), len(labels))
    except (KeyError, TypeError):
        return False
    return (labels, activation) == (kept.labels, kept.activation)
