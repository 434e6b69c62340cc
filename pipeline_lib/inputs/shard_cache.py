"""Columns and rows of shards as the manifest has them, so that shards that did not change are not opened again."""

from collections.abc import Mapping

import pyarrow as pa

from pipeline_lib.inputs.shard_schemas import decoded
from pipeline_lib.inputs.shards import ShardHeader
from pipeline_lib.settings.sections.input import InputSettings
from pipeline_lib.storage.location import FileStamp
from pipeline_lib.storage.records import Manifest


def unchanged_headers(
    manifest: Manifest, stamps: Mapping[str, FileStamp], settings: InputSettings
) -> dict[str, ShardHeader]:
    """Return columns and rows of the shards that did not change since they were published.

    Only an ETag shows without reading a shard that it did not change.

    Args:
        manifest: of the published version.
        stamps: of the shards, by path.
        settings: of the input; those for CSV files must be the ones of the manifest.
    """
    if manifest.settings.get("input", {}).get("csv") != settings.csv.model_dump(mode="json"):
        return {}
    try:
        schemas = [decoded(kept) for kept in manifest.schemas]
    except (pa.ArrowException, ValueError):
        return {}
    headers: dict[str, ShardHeader] = {}
    for shard in manifest.shards:
        stamp = stamps.get(shard.path)
        same = stamp and stamp.etag and (shard.size, shard.content) == (stamp.size, f"etag:{stamp.tag}")
        if same and shard.head is not None and shard.head < len(schemas):
            headers[shard.path] = ShardHeader(schemas[shard.head], shard.rows)
    return headers
