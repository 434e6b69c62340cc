"""Gates: the limits of the settings, beyond which nothing is published unless somebody accepts it."""

from pipeline_lib.errors import GateError, SettingsError
from pipeline_lib.masking import masked
from pipeline_lib.messages import count
from pipeline_lib.planning.plan import Plan
from pipeline_lib.publishing.drift_gate import exceeded_limits
from pipeline_lib.statistics.drift.references import DriftReport
from pipeline_lib.storage.records import STAGING, Accepted, Manifest

_HOW_TO_ACCEPT = 'to publish it all the same: run --accept "why"'


def words_of(accept: str | None) -> str | None:
    """Return the words of `--accept` on one line, or None where the option was not given.

    Raises:
        SettingsError: there are no words.
    """
    if accept is None:
        return None
    words = " ".join(accept.split())
    if not words:
        raise SettingsError('--accept needs words that say why, such as --accept "the shop was closed"')
    return masked(words)


def check_min_rows(plan: Plan, accept: str | None = None) -> None:
    """Refuse an input with fewer rows than a complete one has, before any work is done.

    A result that was accepted and published stays as it is.

    Args:
        plan: the run's plan.
        accept: why a result is published that a gate stops.

    Raises:
        GateError: it has fewer rows than `limits.min_rows`.
    """
    was_accepted = plan.complete and plan.published is not None and plan.published.accepted is not None
    failing = _too_few_rows(plan)
    if failing and not accept and not was_accepted:
        raise GateError(f"{'; '.join(failing.values())}; nothing is published; {_HOW_TO_ACCEPT}", *failing)


def check_gates(
    plan: Plan, manifest: Manifest, drift: DriftReport | None = None, accept: str | None = None
) -> Accepted | None:
    """Refuse a result that exceeds a limit of the settings, or return why it is accepted all the same.

    Args:
        plan: the run's plan.
        manifest: of the result.
        drift: how it compares with earlier nights, if there are any.
        accept: why a result is published that a gate stops.

    Raises:
        GateError: too few rows, too many rejects, scores in half precision too far from float32, or scores or
            labels too far from those of earlier nights.
    """
    failing = {
        **_too_few_rows(plan),
        **_too_many_rejects(plan, manifest),
        **_too_imprecise(plan, manifest),
        **exceeded_limits(drift, plan.settings.limits),
    }
    if not failing:
        return None
    if accept:
        return Accepted(why=accept, gates=failing)
    staging = f"{plan.settings.output.path.rstrip('/')}/{STAGING}/{plan.version}"
    reasons = f", the reasons are in '{staging}/_rejects'" if "max_reject_rate" in failing else ""
    raise GateError(f"{'; '.join(failing.values())}; nothing is published{reasons}; {_HOW_TO_ACCEPT}", *failing)


def _too_few_rows(plan: Plan) -> dict[str, str]:
    least = plan.settings.limits.min_rows
    if plan.rows >= least:
        return {}
    return {"min_rows": f"the input has {count(plan.rows, 'row')}, limits.min_rows is {least:,}"}


def _too_many_rejects(plan: Plan, manifest: Manifest) -> dict[str, str]:
    most, rate = plan.settings.limits.max_reject_rate, manifest.rejected / max(manifest.rows, 1)
    if rate <= most:
        return {}
    found = f"{manifest.rejected:,} of {manifest.rows:,} rows were rejected ({rate:.3%})"
    return {"max_reject_rate": f"{found}, limits.max_reject_rate is {most:.3%}"}


def _too_imprecise(plan: Plan, manifest: Manifest) -> dict[str, str]:
    limits, drift, precision = plan.settings.limits, manifest.drift, plan.settings.model.precision
    if not drift:
        return {}
    failing = {}
    if limits.max_precision_drift is not None and drift.largest > limits.max_precision_drift:
        failing["max_precision_drift"] = (
            f"scores in {precision} are up to {drift.largest:.4f} from float32 in a sample of "
            f"{count(drift.rows, 'row')} ({count(drift.flips, 'other label')}), limits.max_precision_drift is "
            f"{limits.max_precision_drift:g}"
        )
    share = drift.flips / max(drift.rows, 1)
    if limits.max_precision_flips is not None and share > limits.max_precision_flips:
        failing["max_precision_flips"] = (
            f"{drift.flips:,} of a sample of {count(drift.rows, 'row')} ({share:.3%}) have another label in "
            f"{precision} than in float32, limits.max_precision_flips is {limits.max_precision_flips:.3%}"
        )
    return failing
