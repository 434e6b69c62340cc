"""Columns and rows of shards as the manifest keeps them, so that one that did not change is not opened again."""

import base64
from collections.abc import Mapping

import pyarrow as pa

from pipeline_lib.settings.settings import InputSettings
from pipeline_lib.storage.location import FileStamp
from pipeline_lib.storage.records import Manifest


def written(schema: pa.Schema) -> str:
    """Return a schema as the manifest keeps it."""
    return base64.b64encode(schema.serialize()).decode()


def known(
    manifest: Manifest, stamps: Mapping[str, FileStamp], settings: InputSettings
) -> dict[str, tuple[pa.Schema, int | None]]:
    """Return columns and rows of the shards that were published just as they are now.

    Only an ETag tells that a shard is the same without its being read.

    Args:
        manifest: of what is published, whole.
        stamps: of the shards, by path.
        settings: of the input; what decides the columns and rows of a CSV must be as it was.
    """
    if manifest.settings.get("input", {}).get("csv") != settings.csv.model_dump(mode="json"):
        return {}
    try:
        schemas = [pa.ipc.read_schema(pa.py_buffer(base64.b64decode(kept))) for kept in manifest.schemas]
    except (pa.ArrowException, ValueError):
        return {}
    found: dict[str, tuple[pa.Schema, int | None]] = {}
    for shard in manifest.shards:
        stamp = stamps.get(shard.path)
        same = stamp and stamp.etag and (shard.size, shard.content) == (stamp.size, f"etag:{stamp.tag}")
        if same and shard.head is not None and shard.head < len(schemas):
            found[shard.path] = schemas[shard.head], shard.rows
    return found
