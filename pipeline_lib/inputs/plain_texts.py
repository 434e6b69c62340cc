"""The texts of shards without their other columns, where a sample of them is all that is wanted."""

from collections.abc import Iterator
from typing import Any

import pyarrow.compute as pc

from pipeline_lib.inputs import columns
from pipeline_lib.inputs.discovery.listing import find_shards
from pipeline_lib.inputs.formats.dispatch import ShardRows, lone_shard
from pipeline_lib.inputs.reader import conform_to_schema
from pipeline_lib.inputs.schema import OutputSchema, unify_schemas
from pipeline_lib.inputs.shard_schemas import decoded
from pipeline_lib.settings.sections.input import InputSettings
from pipeline_lib.storage.store_errors import translated_errors

_ROWS_AT_A_TIME = 8192


def plain_texts(paths: list[str], settings: InputSettings) -> Iterator[str]:
    """Yield the texts of all shards in their order; rows that a job would reject while it reads have none.

    Args:
        paths: files, folders, globs or URLs, as in `input.path`.
        settings: name the column of the texts, and say how CSV files are read; nothing else of them is used.

    Raises:
        InputError: a path has no shards, or one of them can't be read or lacks the column.
    """
    alone = InputSettings(path=paths, text_column=settings.text_column, keep_columns=[], csv=settings.csv)
    for path in find_shards(paths, dated=False).stamps:
        shard = lone_shard(path, alone.csv, _ROWS_AT_A_TIME)
        unify_schemas({path: decoded(shard.schema)}, alone)
        rows = ShardRows(shard, [alone.text_column], alone.csv)
        try:
            for part in shard.slices:
                with translated_errors(path, "reading the shard"):
                    table = conform_to_schema(rows(part), alone, OutputSchema(()))
                usable: Any = table.filter(pc.is_null(table.column(columns.REJECT_CODE))).column(columns.TEXT)
                yield from (text.decode() for text in usable.to_pylist())
        finally:
            rows.close()
