"""Regular files of a checkpoint's folder, and the JSON objects in them; nothing outside the folder is read."""

import json
import stat
from pathlib import Path
from typing import Any

from pipeline_lib.errors import CheckpointError
from pipeline_lib.settings.sections.model import ModelSettings

JSON_BYTES = 256 << 20
"""Bytes of a JSON file at most; the largest in use, a vocabulary of many languages, has 40 MB."""


def is_plain(name: str) -> bool:
    """Tell whether a name is that of a file in the same folder, and no path."""
    return name not in ("", ".", "..") and not any(mark in name for mark in "/\\\0")


def plain_file(folder: Path, name: str, settings: ModelSettings) -> Path:
    """Return the path of a regular file of the folder.

    A snapshot in the cache of a hub is made of links to `blobs`; any other link must stay within the folder.

    Raises:
        CheckpointError: it is a link out of the folder, or no regular file.
    """
    path = folder / name
    own = folder.resolve()
    allowed = [own, own.parent.parent / "blobs"] if own.parent.name == "snapshots" else [own]
    try:
        target = path.resolve(strict=True)
        mode = target.stat().st_mode
    except (OSError, RuntimeError):
        raise CheckpointError(f"model.name: {name} of {settings.name!r} is a link that leads nowhere") from None
    if not any(target.is_relative_to(parent) for parent in allowed):
        raise CheckpointError(
            f"model.name: {name} of {settings.name!r} is a link out of the folder; allowed are files in it"
        )
    if not stat.S_ISREG(mode):
        raise CheckpointError(f"model.name: {name} of {settings.name!r} is no regular file")
    return path


def read_json(folder: Path, name: str, settings: ModelSettings, max_bytes: int) -> dict[str, Any]:
    """Return the object that a JSON file of the folder holds, of `max_bytes` at most.

    Raises:
        CheckpointError: it is no regular file of the folder, too large, or no object.
    """
    path = plain_file(folder, name, settings)
    where = f"model.name: can't load {name} of {settings.name!r}"
    if path.stat().st_size > max_bytes:
        raise CheckpointError(f"{where}: it has {path.stat().st_size:,} bytes; allowed are {max_bytes:,}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{where}: it is no JSON: {error!s:.200}") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{where}: it is no JSON object")
    return content
