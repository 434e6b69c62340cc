"""Names and types of the columns that the job adds, inside the flow and in its output."""

from collections.abc import Collection, Container, Mapping, Sequence
from typing import Any

import pyarrow as pa

from pipeline_lib.settings.settings import Settings

# Inside the flow. Columns of the input can't have these names, which unify_schemas checks.
ROW = "__row__"
LINE = "__line__"
TEXT = "__text__"
PAIR = "__pair__"
REJECT_CODE = "__reject_code__"
REJECT_MESSAGE = "__reject_message__"
TOKEN_IDS = "__token_ids__"  # noqa: S105 - no password
TYPE_IDS = "__type_ids__"
COMPUTED_BY = "__computed_by__"
"""The device, batches and libraries that computed the slice, in words; the same in every row."""
DRIFT = "__drift__"
"""Largest difference of a row's scores from those in float32; null where they were not compared."""
FLIPPED = "__flipped__"
"""Whether float32 gives a row another label; null likewise."""
NEAR_BOUNDARY = "__near_boundary__"
"""Whether a row's scores are nearly another answer; null for rejected rows, missing where scores are taken over."""
TEXT_HASH = "__text_hash__"
"""A number that stands for a row's text, to find duplicates without it; missing where scores are taken over."""
TRUTH = "__truth__"
"""The index of the true label. Missing where the settings name no column with it."""
INTERNAL = (
    *(ROW, LINE, TEXT, PAIR, REJECT_CODE, REJECT_MESSAGE, TOKEN_IDS, TYPE_IDS),
    *(COMPUTED_BY, DRIFT, FLIPPED, NEAR_BOUNDARY, TEXT_HASH, TRUTH),
)

# In the output.
LABEL = "label"
SCORE = "score"
SCORES = "scores"
LOGITS = "logits"
N_TOKENS = "n_tokens"
TRUNCATED = "truncated"
OUTPUT = (LABEL, SCORE, SCORES, LOGITS, N_TOKENS, TRUNCATED)
EMBEDDING = "embedding"
N_WINDOWS = "n_windows"
OPTIONAL = (EMBEDDING, N_WINDOWS)
"""In the output only where the settings ask for them; else a column of the input may have the name."""

# In the rejects.
SHARD_PATH = "shard"
ROW_NUMBER = "row"
LINE_NUMBER = "line"
CODE = "code"
MESSAGE = "message"
REJECTED_TEXT = "rejected_text"
REJECTED_PAIR = "rejected_text_pair"
REJECTS = (SHARD_PATH, ROW_NUMBER, LINE_NUMBER, CODE, MESSAGE, REJECTED_TEXT, REJECTED_PAIR)

# Prefix of a kept column whose name is one of the job's: it is not lost, nor mistaken for a prediction.
CLASH_PREFIX = "input_"
_TAKEN = frozenset(name.casefold() for name in (*OUTPUT, *REJECTS))


def output_name(column: str, asked: Collection[str] = ()) -> str:
    """Return the name under which a user's column is published.

    `Label` is one of the job's names too, since DuckDB, Spark and Athena ignore case.

    Args:
        column: of the input.
        asked: the columns of `asked_columns`.
    """
    name = column.casefold()
    return CLASH_PREFIX + column if name in _TAKEN or name in asked else column


def asked_columns(settings: Settings) -> tuple[str, ...]:
    """Return the names that the output has by its settings: some of `OPTIONAL`, and those with the prefix.

    Within the steps no name has the prefix, so that a column of the input may have neither name. Casefolded.
    """
    asked, prefix = _asked_optional(settings), settings.output.column_prefix
    prefixed = (f"{prefix}{name}".casefold() for name in (*OUTPUT, *asked)) if prefix else ()
    return (*asked, *prefixed)


def _asked_optional(settings: Settings) -> tuple[str, ...]:
    asked = {EMBEDDING: settings.output.embedding != "none", N_WINDOWS: settings.model.long_texts == "windows"}
    return tuple(name for name, is_asked in asked.items() if is_asked)


def recorded_prefix(recorded: Mapping[str, Any]) -> str:
    """Return what stands before the names of added columns, by settings or a fingerprint as a manifest has them."""
    return str(recorded.get("output", {}).get("column_prefix", ""))


def added_columns(names: Container[str], prefix: str) -> dict[str, str]:
    """Return which of some published columns the job added: their names there, by those without the prefix."""
    return {name: prefix + name for name in OUTPUT if prefix + name in names}


def published_fields(settings: Settings, embedding_width: int) -> list[pa.Field]:
    """Return the fields of `score_fields` under the names that they have in the files."""
    prefix = settings.output.column_prefix
    return [field.with_name(prefix + field.name) for field in score_fields(settings, embedding_width)]


def score_fields(settings: Settings, embedding_width: int) -> list[pa.Field]:
    """Return the fields that the model stage adds, in the order of the output.

    Args:
        settings: say which.
        embedding_width: numbers in an embedding of the checkpoint.
    """
    output, asked, floats = settings.output, _asked_optional(settings), pa.list_(pa.float32())
    wanted = [
        (pa.field(LABEL, pa.string()), True),
        (pa.field(SCORE, pa.float32()), True),
        (pa.field(SCORES, floats), output.scores == "all"),
        (pa.field(LOGITS, floats), output.logits),
        (pa.field(EMBEDDING, pa.list_(pa.float32(), embedding_width)), EMBEDDING in asked),
        (pa.field(N_TOKENS, pa.int32()), True),
        (pa.field(TRUNCATED, pa.bool_()), True),
        (pa.field(N_WINDOWS, pa.int32()), N_WINDOWS in asked),
    ]
    return [field for field, is_wanted in wanted if is_wanted]


def truth_of(column: str) -> str:
    """Return the name within the flow of a column with true labels, as the input has them."""
    return TRUTH + column


def reject_fields(*, texts: bool) -> list[pa.Field]:
    """Return the fields that say which row was rejected and why, and if asked what its texts were."""
    rejected = [pa.field(name, pa.string()) for name in (REJECTED_TEXT, REJECTED_PAIR)]
    return [
        pa.field(SHARD_PATH, pa.string()),
        pa.field(ROW_NUMBER, pa.int64()),
        pa.field(LINE_NUMBER, pa.int64()),
        pa.field(CODE, pa.string()),
        pa.field(MESSAGE, pa.string()),
        *(rejected if texts else []),
    ]


def without(table: pa.Table, names: Sequence[str]) -> pa.Table:
    """Return the table without the named columns; names it does not have are no error."""
    return table.drop_columns([name for name in names if name in table.column_names])


def numbered(table: pa.Table, first_row: int) -> pa.Table:
    """Return a table with its rows numbered, and without lines and rejects where it does not have them yet."""
    for name, kind in ((LINE, pa.int64()), (REJECT_CODE, pa.string()), (REJECT_MESSAGE, pa.string())):
        if name not in table.column_names:
            table = table.append_column(name, pa.nulls(table.num_rows, kind))
    return table.append_column(ROW, pa.array(range(first_row, first_row + table.num_rows), pa.int64()))


def rejected(table: pa.Table, faults: Mapping[int, tuple[str, str]]) -> pa.Table:
    """Return the table with some rows rejected.

    Args:
        table: with the reject columns of the flow.
        faults: reject code and message by row.
    """
    if not faults:
        return table
    for at, name in enumerate((REJECT_CODE, REJECT_MESSAGE)):
        values = table.column(name).to_pylist()
        for row, fault in faults.items():
            values[row] = fault[at]
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(values, pa.string()))
    return table
