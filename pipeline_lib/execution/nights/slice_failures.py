"""The failure of a slice as a table like any other, so that the dataset goes on with the slices of other nights."""

import json
import traceback

import pyarrow as pa

from pipeline_lib import errors
from pipeline_lib.errors import FaultError, NightscoreError

_FAILURE = "__failure__"


def failure_text(error: Exception) -> str:
    """Return an error as JSON, with its traceback for `--debug`; one that is none of ours may pass."""
    ours = error if isinstance(error, NightscoreError) else None
    last_line = str(error).strip().rpartition("\n")[2][:300]
    return json.dumps(
        {
            "kind": type(ours).__name__ if ours else FaultError.__name__,
            "message": str(ours) if ours else f"a worker failed: {type(error).__name__}: {last_line}",
            "traceback": "".join(traceback.format_exception(error)),
        }
    )


def failure_table(text: str) -> pa.Table:
    """Return the table that takes the place of a slice's; `text` is that of `failure_text`."""
    return pa.table({_FAILURE: [text]})


def is_failure(table: pa.Table) -> bool:
    """Tell whether a table took the place of a slice's."""
    return bool(table.column_names == [_FAILURE])


def failure_in(table: pa.Table) -> NightscoreError:
    """Return the error that a table tells."""
    given = json.loads(table.column(_FAILURE)[0].as_py())
    kind: type[NightscoreError] = getattr(errors, given["kind"])
    error = kind(given["message"])
    error.add_note(f"in a worker:\n{given['traceback']}")
    return error
