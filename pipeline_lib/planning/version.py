"""The version: a hash of everything that decides a score, so that scores of two versions are never mixed."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pipeline_lib.checkpoints.checkpoint import Checkpoint
from pipeline_lib.engines.computation import Computation
from pipeline_lib.inputs.schema import OutputSchema
from pipeline_lib.settings.sections.output import ROWS_PER_FILE, OutputSettings
from pipeline_lib.settings.settings import Settings

# Increased when the program itself gives other scores, rejects or files for the same settings.
OUTPUT_FORMAT = 2
# Settings of the input that only name columns to keep.
_KEPT = ("keep_columns", "partition_columns")
# Settings of the input that decide neither a score nor a column.
UNDECISIVE = frozenset({"path", "truth_column", "truth_labels"})


def fingerprint_of(
    settings: Settings, checkpoint: Checkpoint, output_schema: OutputSchema, computation: Computation
) -> dict[str, Any]:
    """Return what decides a score, a reject or a column of the output, as plain JSON values.

    Paths are not part of it: the same shards elsewhere get the same scores. Nor are limits and actor counts, nor in
    float32 the versions of libraries, which the manifest records.
    """
    scored = output_schema.scored_schema(settings, checkpoint.embedding_width)
    return {
        "format": OUTPUT_FORMAT,
        "checkpoint": checkpoint.fingerprint,
        "activation": checkpoint.activation,
        "max_tokens": checkpoint.max_tokens,
        # These two keys keep their first names, since another key would give another version.
        "first_token_alone": checkpoint.cls_pooling,
        "keeps_state": checkpoint.is_stateful,
        "precision": settings.model.precision,
        "computation": computation.as_json(),
        "input": settings.input.model_dump(mode="json", exclude=set(UNDECISIVE)),
        "output": decisive_output(settings.output),
        "rows_per_slice": settings.tuning.rows_per_slice,
        "columns": {field.name: str(field.type) for field in scored},
        **_windows(checkpoint),
        **({"calibration": _hash(checkpoint.calibration.ids)} if len(checkpoint.calibration) else {}),
        # Left out where all tokens are counted, as before there was a choice.
        **({"count_tokens": "limit"} if settings.model.count_tokens == "limit" else {}),
    }


def decisive_output(output: OutputSettings) -> dict[str, Any]:
    """Return the settings of the output that decide a version.

    What asks for nothing is left out, and the default number of rows in a file: results of releases without these
    settings, which wrote a file for each slice, keep their version.
    """
    asked = output.model_dump(mode="json", exclude={"path"})
    defaults = {("column_prefix", ""), ("embedding", "none"), ("rows_per_file", ROWS_PER_FILE)}
    return {name: value for name, value in asked.items() if (name, value) not in defaults}


def _windows(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return what decides the windows; nothing where texts are truncated, as before there were windows."""
    cut = checkpoint.windows
    return {"windows": {"long_texts": "windows", "stride": cut.stride, "join": cut.join}} if cut else {}


def version_of(fingerprint: dict[str, Any]) -> str:
    """Return a fingerprint's short name: 16 hexadecimal digits of its SHA-256."""
    return _hash(fingerprint)


def _hash(values: Any) -> str:
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def same_scores(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Tell whether two fingerprints give each row the same score or reject, though maybe beside other columns."""
    return _of_scores(one) == _of_scores(other)


def score_version(fingerprint: Mapping[str, Any]) -> str:
    """Return a short name that is the same for two fingerprints if their scores are the same."""
    return version_of(_of_scores(fingerprint))


def _of_scores(fingerprint: Mapping[str, Any]) -> dict[str, Any]:
    decisive = {name: value for name, value in fingerprint.items() if name not in {"output", "columns"}}
    inputs = dict(decisive.get("input", {}))
    # With column types in the settings, a value of a kept column can reject its row.
    if not inputs.get("csv", {}).get("column_types"):
        inputs = {name: value for name, value in inputs.items() if name not in _KEPT}
    return {**decisive, "input": inputs}
