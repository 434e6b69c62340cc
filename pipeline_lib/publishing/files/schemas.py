"""The schemas of the files of a version, with metadata that say what they were made with."""

import pyarrow as pa

from pipeline_lib.planning.plan import Plan
from pipeline_lib.storage.records import VERSION_KEY


def scored_schema(plan: Plan) -> pa.Schema:
    """Return the schema of files of scored rows."""
    return plan.scored_schema.with_metadata(_lineage(plan))


def reject_schema(plan: Plan) -> pa.Schema:
    """Return the schema of files of rejects."""
    return plan.output_schema.reject_schema(plan.settings.output).with_metadata(_lineage(plan))


def _lineage(plan: Plan) -> dict[str, str]:
    return {
        VERSION_KEY: plan.version,
        "nightscore.model": plan.checkpoint.name,
        "nightscore.commit": plan.checkpoint.commit or "",
    }
