"""Inspection of shards before work starts: their columns, rows and content, and where slices of CSV files start."""

import dataclasses
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import field
from typing import Any

import pyarrow as pa

from pipeline_lib.inputs.discovery.listing import DiscoveredShards
from pipeline_lib.inputs.formats import dispatch
from pipeline_lib.inputs.shard_schemas import encoded
from pipeline_lib.inputs.shards import Contents, Shard, ShardHeader, format_of
from pipeline_lib.machine.parallel import in_threads
from pipeline_lib.settings.settings import Settings
from pipeline_lib.storage.integrity import content_id
from pipeline_lib.storage.location import FileStamp
from pipeline_lib.storage.store_errors import translated_errors, with_retries


@dataclasses.dataclass
class SeenInput:
    """What is known of an input by now: it is listed and opened once for all jobs that read it."""

    listed: DiscoveredShards | None = None
    headers: dict[str, ShardHeader] = field(default_factory=dict)
    """By path, likewise the others."""
    contents: dict[str, Contents] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    """ETags or SHA-256."""

    def contents_of(self, path: str, settings: Settings) -> Contents:
        """Return what a shard has; a file of lines is read through."""
        if path not in self.contents:
            self.contents[path] = with_retries(
                lambda: dispatch.inspect(path, format_of(path), settings.input.csv, settings.tuning.rows_per_slice)
            )
        return self.contents[path]

    def id_of(self, path: str, stamp: FileStamp) -> str:
        """Return a shard's ETag or SHA-256."""
        if path not in self.ids:
            with translated_errors(path, "reading the shard"):
                self.ids[path] = content_id(path, stamp)
        return self.ids[path]


def read_headers(paths: Sequence[str], settings: Settings, seen: SeenInput) -> dict[str, ShardHeader]:
    """Return the footer or header of every shard, by path.

    Args:
        paths: of the shards.
        settings: the job's settings.
        seen: what is known of the shards.

    Raises:
        InputError: one can't be read.
    """
    schemas: dict[str, Any] = {}

    def read_header(path: str) -> ShardHeader:
        csv, rows = settings.input.csv, settings.tuning.rows_per_slice
        header = with_retries(lambda: dispatch.read_header(path, format_of(path), csv, rows))
        # Most shards have the same schema: it is kept in memory once.
        return header._replace(schema=schemas.setdefault(header.schema.to_string(), header.schema))

    unread = [path for path in paths if path not in seen.headers]
    seen.headers |= zip(unread, in_threads(read_header, unread), strict=True)
    return {path: _with_named_columns(path, seen.headers[path], settings) for path in paths}


def _with_named_columns(path: str, header: ShardHeader, settings: Settings) -> ShardHeader:
    """Return a header with the columns that the settings name, where a shard without rows has no keys at all."""
    if format_of(path) != "jsonl" or header.rows != 0:
        return header
    inputs = settings.input
    names = [name for name in (inputs.text_column, inputs.text_pair_column, inputs.truth_column) if name]
    return header._replace(schema=pa.schema([(name, pa.null()) for name in dict.fromkeys(names)]))


def inspect_shards(
    stamps: Mapping[str, FileStamp], headers: Mapping[str, ShardHeader], settings: Settings, seen: SeenInput
) -> tuple[Shard, ...]:
    """Return the shards, numbered in the order of the paths; a CSV file is read through to count its rows.

    Args:
        stamps: every shard's stamp, by path.
        headers: every shard's header, by path.
        settings: the job's settings.
        seen: what is known of the shards.

    Raises:
        InputError: a shard can't be read.
    """
    names_in_memory: dict[tuple[str, ...], tuple[str, ...]] = {}

    def inspect(numbered: tuple[int, str]) -> Shard:
        number, path = numbered
        stamp, header = stamps[path], headers[path]
        rows, places = header.rows, (header.slice_offsets, header.unit_starts)
        contents = seen.contents_of(path, settings) if rows is None else Contents(header.schema, rows, *places)
        names = tuple(map(sys.intern, contents.schema.names))
        return Shard(
            number=number,
            path=path,
            format=format_of(path),
            stamp=stamp,
            content=seen.id_of(path, stamp),
            rows=contents.rows,
            columns=names_in_memory.setdefault(names, names),
            rows_per_slice=settings.tuning.rows_per_slice,
            slice_offsets=contents.slice_offsets,
            unit_starts=contents.unit_starts,
            schema=sys.intern(encoded(header.schema)),
        )

    return tuple(in_threads(inspect, enumerate(stamps)))


def with_slice_offsets(
    shards: tuple[Shard, ...], finished: Collection[tuple[int, int]], settings: Settings, seen: SeenInput
) -> tuple[Shard, ...]:
    """Return the shards with where slices and units start in those that were not opened and have work left.

    Args:
        shards: all of the input.
        finished: (number of the shard, first row) of the slices that need no work.
        settings: the job's settings.
        seen: what is known of the shards.
    """

    def located(shard: Shard) -> Shard:
        if (
            shard.slice_offsets
            or shard.unit_starts
            or all((shard.number, first_row) in finished for first_row in shard.starts)
        ):
            return shard
        contents = seen.contents_of(shard.path, settings)
        return dataclasses.replace(
            shard, rows=contents.rows, slice_offsets=contents.slice_offsets, unit_starts=contents.unit_starts
        )

    return tuple(in_threads(located, shards))
