"""Estimates a run: scores a sample of what its plan leaves to do, or looks at past nights."""

import datetime as dt
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline_lib.errors import SettingsError
from pipeline_lib.estimating.estimate import Estimate
from pipeline_lib.estimating.figures import Interval
from pipeline_lib.estimating.from_past import estimate_from_past
from pipeline_lib.estimating.from_sample import ToDo, estimate_from
from pipeline_lib.estimating.kept import keep
from pipeline_lib.estimating.past_nights import PastNight, past_nights
from pipeline_lib.estimating.sampling.measuring import actors_here, measured, slices_to_score
from pipeline_lib.estimating.sampling.sample import Sample
from pipeline_lib.inputs.shards import Slice
from pipeline_lib.planning.plan import Plan
from pipeline_lib.scoring.precision_drift import rows_to_compare
from pipeline_lib.settings.settings import Settings

# On two idle cores an empty Ray Data job takes 12.7 s (`jobs.bench.startup`). Some of it passes beside the plan,
# the rest around scoring; which part is which is a guess.
_RAY_SECONDS = 6.0
_RAY_AROUND_SCORING = 5.0
_START_ERROR = 0.4


@dataclass(frozen=True)
class Asked:
    """What the user asks to be estimated."""

    settings: Settings
    """As read, with `{date}` still in the paths."""
    date: dt.date | None
    rows: int | None
    """Of the sample at most; 0: none; None: by default."""
    local: bool
    """Whether the run will work in one process, without Ray."""
    plan_seconds: float
    """That the plan took."""


def estimate_run(plan: Plan, asked: Asked, phase: Callable[[str], None]) -> Estimate | None:
    """Return the estimate of a run, and keep it in this user's cache; None if nothing is left to score.

    Args:
        plan: of the run.
        asked: by the user.
        phase: told what begins.

    Raises:
        SettingsError: there is neither a sample nor a past night.
        NightscoreError: what the run would fail of, too.
    """
    slices = slices_to_score(plan)
    if not any(part.rows for part in slices):
        return None
    here = actors_here(plan, len(slices), local=asked.local)
    rows = sum(part.rows for part in slices)
    compared = _compared_rows(plan, slices)
    todo = ToDo(rows, len(slices), here.allotment, here.cores, compared, asked.local, _files(plan, slices))
    nights = [night for night in past_nights(asked.settings, asked.date) if night.local == asked.local]
    now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    if asked.rows == 0:
        if not nights:
            how = "without --local" if not asked.local else "with --local"
            raise SettingsError(
                f"--sample 0: no run {how} has left its figures (_metrics.json) in {plan.settings.output.path!r} "
                "or in a night before it; leave the option out, or give a number of rows"
            )
        found = estimate_from_past(nights, todo, now)
    else:
        sample = measured(plan, slices, here, asked.rows, phase)
        found = estimate_from(sample, todo, _start(nights, asked, sample), now)
    keep(plan.settings.output.path, plan.version, found)
    return found


def _compared_rows(plan: Plan, slices: Sequence[Slice]) -> int:
    """Return how many rows are scored in float32 too."""
    if plan.settings.model.precision == "float32":
        return 0
    samples = (rows_to_compare(part.first_row // plan.settings.tuning.rows_per_slice, part.rows) for part in slices)
    return sum(len(range(each.start, each.stop, each.step)) for each in samples if each)


def _start(nights: Sequence[PastNight], asked: Asked, sample: Sample) -> tuple[Interval, str]:
    """Return the time before and after scoring, and where it is known from.

    Args:
        nights: past ones of the same kind, the newest first.
        asked: by the user.
        sample: tells how long a process takes to load the model, and how busy the machine is.
    """
    if nights:
        starts = sorted(night.start_seconds for night in nights)
        middle = starts[len(starts) // 2]
        wide = Interval.of(middle, 0.25)
        return Interval(middle, min(wide.low, starts[0]), max(wide.high, starts[-1])), "past nights"
    loaded = sample.start_seconds
    if asked.local:
        return Interval.of(asked.plan_seconds + loaded / 2, _START_ERROR), "the plan and the model as loaded here"
    seconds = max(asked.plan_seconds, _RAY_SECONDS * sample.stretch) + loaded + _RAY_AROUND_SCORING * sample.stretch
    return Interval.of(seconds, _START_ERROR), "the plan and the model as loaded here; Ray's own part is a guess"


def _files(plan: Plan, slices: Sequence[Slice]) -> int:
    """Return how many files of scored rows the slices will be in, if their bytes do not make it more."""
    rows_of_shard: Counter[int] = Counter()
    for part in slices:
        rows_of_shard[part.shard] += part.rows
    most = max(plan.settings.output.rows_per_file, plan.settings.tuning.rows_per_slice)
    return sum(max(-(-rows // most), 1) for rows in rows_of_shard.values())
