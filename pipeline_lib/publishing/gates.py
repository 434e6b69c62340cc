"""Gates: the limits of the settings, beyond which nothing is published."""

from pipeline_lib.errors import GateError
from pipeline_lib.messages import count
from pipeline_lib.planning.plan import Plan
from pipeline_lib.storage.records import STAGING, Manifest


def check_min_rows(plan: Plan) -> None:
    """Refuse an input with fewer rows than a complete one has, before any work is done.

    Raises:
        GateError: it has fewer rows than `limits.min_rows`.
    """
    least = plan.settings.limits.min_rows
    if plan.rows < least:
        raise GateError(
            f"the input has {count(plan.rows, 'row')}, limits.min_rows is {least:,}; nothing is published"
        )


def check_gates(plan: Plan, manifest: Manifest) -> None:
    """Refuse a result that exceeds a limit of the settings.

    Raises:
        GateError: too few rows, too many rejects, or scores in half precision too far from float32.
    """
    check_min_rows(plan)
    limits = plan.settings.limits
    rate = manifest.rejected / max(manifest.rows, 1)
    if rate > limits.max_reject_rate:
        staging = f"{plan.settings.output.path.rstrip('/')}/{STAGING}/{plan.version}"
        raise GateError(
            f"{manifest.rejected:,} of {manifest.rows:,} rows were rejected ({rate:.3%}), limits.max_reject_rate "
            f"is {limits.max_reject_rate:.3%}; nothing is published, the reasons are in '{staging}/_rejects'"
        )
    drift = manifest.drift
    if drift and limits.max_precision_drift is not None and drift.largest > limits.max_precision_drift:
        raise GateError(
            f"scores in {plan.settings.model.precision} are up to {drift.largest:.4f} from float32 in a sample of "
            f"{count(drift.rows, 'row')} ({count(drift.flips, 'other label')}), limits.max_precision_drift is "
            f"{limits.max_precision_drift:g}; nothing is published"
        )
