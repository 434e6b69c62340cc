"""What was found about a checkpoint, kept on this machine: the next run need not load it to know."""

import contextlib
import hashlib
import os
import platform
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from pipeline_lib.checkpoint import Checkpoint, cache_folder
from pipeline_lib.config import Settings
from pipeline_lib.libraries import library_versions
from pipeline_lib.openvino_engine import auto_engine

_FORM = 2
"""Of what is kept and of how it is found; raised when either changes, so that nothing older is believed."""


@dataclass(frozen=True)
class _Record:
    form: int
    checkpoint: Checkpoint


_RECORD = TypeAdapter(_Record)


def remembered(settings: Settings, content: str, commit: str | None, look: Callable[[], Checkpoint]) -> Checkpoint:
    """Return what is known of a checkpoint; look at it if nothing is.

    Known is what was found for the same files, settings and libraries on a processor of the same kind. Mistakes are
    not kept, and code that comes with a checkpoint is always tried: it may bring files that are not looked at here.

    Args:
        settings: what is asked of the checkpoint.
        content: its fingerprint.
        commit: its commit, if it comes from a hub.
        look: loads the checkpoint and tries it.
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
        kept = _RECORD.validate_json(path.read_bytes())
        if kept.form == _FORM:
            return replace(kept.checkpoint, name=settings.model.name, commit=commit)
    found = look()
    with contextlib.suppress(OSError):
        _write(path, _RECORD.dump_json(_Record(_FORM, found)))
    return found


def _write(path: Path, content: bytes) -> None:
    handle, part = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    Path(part).replace(path)
