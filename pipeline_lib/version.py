"""The version: a fingerprint of all that decides a score, so that no two kinds of scores are ever mixed."""

import hashlib
import json
from typing import Any

from pipeline_lib.checkpoint import Checkpoint
from pipeline_lib.config import Settings
from pipeline_lib.layout import Layout

# Raised when the program itself starts to give other scores, rejects or files for the same settings.
_OUTPUT_FORMAT = 1


def fingerprint_of(settings: Settings, checkpoint: Checkpoint, layout: Layout) -> dict[str, Any]:
    """Return what decides a score, a reject or a column of the output, as plain JSON values.

    Paths are not part of it: the same shards elsewhere get the same scores. Nor are limits, actor counts and
    library versions, which the manifest records.
    """
    return {
        "format": _OUTPUT_FORMAT,
        "checkpoint": checkpoint.fingerprint,
        "activation": checkpoint.activation,
        "max_tokens": checkpoint.max_tokens,
        "pads_safely": checkpoint.pads_safely,
        "first_token_alone": checkpoint.first_token_alone,
        "precision": settings.model.precision,
        "engine": checkpoint.engine,
        "input": settings.input.model_dump(mode="json", exclude={"path"}),
        "output": settings.output.model_dump(mode="json", exclude={"path"}),
        "rows_per_slice": settings.tuning.rows_per_slice,
        "tokens_per_batch": settings.tuning.tokens_per_batch,
        "threads": settings.tuning.cpus_per_model_actor or 1,  # can change the last digit of a sum
        "columns": {field.name: str(field.type) for field in layout.scored_schema(settings.output)},
    }


def version_of(fingerprint: dict[str, Any]) -> str:
    """Return a fingerprint's short name: 16 hexadecimal digits of its SHA-256."""
    text = json.dumps(fingerprint, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
