"""Provenance: what a result is made from, as far as settings and listings tell without reading a shard or a model.

A run records it, and `status` compares it with what a run would be made from now.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipeline_lib.checkpoints.checkpoint_files import is_fetched
from pipeline_lib.checkpoints.fetching import local_folder
from pipeline_lib.inputs.discovery.globs import spelled_out
from pipeline_lib.planning.version import OUTPUT_FORMAT, UNDECISIVE, decisive_output
from pipeline_lib.settings.sections.model import ModelSettings
from pipeline_lib.settings.settings import Settings
from pipeline_lib.storage.location import FileStamp, stamp_of
from pipeline_lib.storage.store_errors import translated_errors
from pipeline_lib.storage.urls import location_of

_TUNING = ("rows_per_slice", "tokens_per_batch", "cpus_per_model_actor", "gpus_per_model_actor")
"""The settings of `tuning` that can decide a version."""


def deciding_settings(settings: Settings) -> dict[str, Any]:
    """Return the settings that can make another version, by their names; the checkpoint has a stamp of its own.

    Some of them decide only together with what is installed: a run with `model.engine: torch` may make the version
    that one with `auto` made.
    """
    sections: dict[str, dict[str, Any]] = {
        "model": settings.model.model_dump(mode="json", exclude={"name"}),
        "input": settings.input.model_dump(mode="json", exclude=set(UNDECISIVE)),
        "output": decisive_output(settings.output),
        "tuning": settings.tuning.model_dump(mode="json", include=set(_TUNING)),
    }
    named = {f"{section}.{name}": value for section, values in sections.items() for name, value in values.items()}
    return {**named, "format": OUTPUT_FORMAT}


def checkpoint_stamp(settings: ModelSettings) -> str:
    """Return a stamp of the checkpoint's files, by names, sizes and times or ETags; of a hub model, its revision.

    Raises:
        CheckpointError: it names a folder that is not there.
        NightscoreError: the storage failed.
    """
    if "://" in settings.name:
        source = location_of(settings.name)
        with translated_errors(settings.name, "listing the checkpoint"):
            entries = source.fs.ls(source.path, detail=True)
        return f"url {_hash_of_listing((entry['name'], entry) for entry in entries)}"
    folder = local_folder(settings)
    if folder is None:
        return f"hub {settings.name} {settings.revision or 'main'}"
    source = location_of(str(folder))
    with translated_errors(settings.name, "listing the checkpoint"):
        entries = [entry for entry in source.fs.ls(source.path, detail=True) if is_fetched(_name(entry), settings)]
    return f"folder {_hash_of_listing((_name(entry), entry) for entry in entries)}"


def input_stamp(paths: Sequence[str], stamps: Mapping[str, FileStamp]) -> str:
    """Return a stamp of the shards, by their paths below those of the input, their sizes and times or ETags.

    Args:
        paths: as in `input.path`, with the date filled in.
        stamps: every shard's stamp, by path.
    """
    roots = sorted((spelled_out(location_of(path).url) for path in paths), key=len, reverse=True)
    lines = sorted(f"{_below(roots, path)}\0{stamp.size}\0{stamp.tag}" for path, stamp in stamps.items())
    return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()


def _below(roots: Sequence[str], path: str) -> str:
    root = next((root for root in roots if path.startswith(f"{root.rstrip('/')}/")), "")
    return path[len(root) :].lstrip("/")


def _name(entry: Mapping[str, Any]) -> str:
    return str(entry["name"]).rstrip("/").rpartition("/")[2]


def _hash_of_listing(entries: Iterable[tuple[str, dict[str, Any]]]) -> str:
    lines = sorted(f"{name}\0{stamp_of(entry)}" for name, entry in entries if entry["type"] != "directory")
    return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()
