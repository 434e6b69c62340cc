"""The results of inspections, kept on this machine: the next run need not load the checkpoint for them."""

import contextlib
import hashlib
import platform
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from pipeline_lib.checkpoints.checkpoint import Checkpoint, resolve_activation
from pipeline_lib.checkpoints.checkpoint_json import read_config
from pipeline_lib.engines.openvino.availability import auto_engine, computes, is_installed
from pipeline_lib.machine.cache_folders import cache_folder, read_own, write_own
from pipeline_lib.machine.library_versions import library_versions
from pipeline_lib.settings.settings import Settings

_FORMAT = 7
"""Of what is kept and of how it is determined; raised when either changes, so that no older result is used."""


@dataclass(frozen=True)
class _Record:
    format: int
    checkpoint: Checkpoint


_RECORD = TypeAdapter(_Record)


@dataclass(frozen=True)
class Subject:
    """What is inspected."""

    settings: Settings
    """They name the checkpoint, and say how it is used."""
    folder: Path
    """The checkpoint's files."""
    content: str
    """Its fingerprint."""
    commit: str | None
    """Its commit, if it comes from a hub."""
    calibration: tuple[str, ...]
    """The texts on which int8 is calibrated."""


def cached_inspection(subject: Subject, inspect: Callable[[Subject], Checkpoint]) -> Checkpoint:
    """Return the kept result of an inspection, or inspect the checkpoint if there is none.

    A result is used for the same files, settings and libraries on a processor of the same kind. Failures are not
    kept. A checkpoint with code of its own is inspected each time: the code may load files that are not known here.
    Labels and activation, which name every answer, are read from the configuration each time; where they differ
    from the kept ones, the checkpoint is inspected again.

    Args:
        subject: names the checkpoint.
        inspect: loads the checkpoint and tries it.

    Raises:
        SettingsError: others may write to the folder of kept results.
    """
    settings, content = subject.settings, subject.content
    if settings.model.allow_remote_code:
        return inspect(subject)
    pairs = settings.input.text_pair_column is not None
    wanted = settings.model.model_dump(exclude={"name", "revision", "calibration"})
    engines = auto_engine(), is_installed() and computes(settings.model.precision)
    here = library_versions(), platform.machine(), engines
    key = repr((content, wanted, settings.output.embedding, pairs, subject.calibration, here))
    try:
        path = cache_folder("inspections") / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
    except OSError:  # a home that can't be written: everything works, only later
        return inspect(subject)
    with contextlib.suppress(OSError, ValidationError):
        kept = _RECORD.validate_json(read_own(path))
        if kept.format == _FORMAT and kept.checkpoint.fingerprint == content:
            checkpoint = replace(kept.checkpoint, name=settings.model.name, commit=subject.commit)
            if _has_configured_labels(checkpoint, settings, subject.folder):
                return checkpoint
    checkpoint = inspect(subject)
    with contextlib.suppress(OSError):
        write_own(path, _RECORD.dump_json(_Record(_FORMAT, checkpoint)))
    return checkpoint


def _has_configured_labels(kept: Checkpoint, settings: Settings, folder: Path) -> bool:
    """Tell whether labels and activation are those of the configuration, read without loading anything."""
    config = read_config(folder, settings.model)
    named = config.get("id2label") or {str(index): f"LABEL_{index}" for index in range(len(kept.labels))}
    try:
        labels = tuple(str(named[str(index)]) for index in range(len(named)))
        activation = resolve_activation(settings.model, config.get("problem_type"), len(labels))
    except (KeyError, TypeError):
        return False
    return (labels, activation) == (kept.labels, kept.activation)
