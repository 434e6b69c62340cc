"""An estimate from past nights, where no sample is scored. Pure arithmetic."""

import math
from collections import Counter
from collections.abc import Sequence

from pipeline_lib.estimating.estimate import Estimate
from pipeline_lib.estimating.figures import Interval, ratio, rounds, share
from pipeline_lib.estimating.from_sample import UNSEEN, ToDo
from pipeline_lib.estimating.past_nights import PastNight


def estimate_from_past(nights: Sequence[PastNight], todo: ToDo, made_at: str) -> Estimate:
    """Return the estimate of a run from nights of the same kind, each with its own number of actors.

    Args:
        nights: at least one.
        todo: what is to do.
        made_at: now, in words.
    """
    actors = todo.allotment.model_actors
    per_row = ratio([night.scoring_seconds * night.actors for night in nights], [night.rows for night in nights])
    error = math.hypot(per_row.high / per_row.value - 1, UNSEEN)
    scoring = Interval.of(per_row.value, error).scaled(todo.rows / actors * rounds(todo.slices, actors))
    starts = [night.start_seconds for night in nights]
    middle = sorted(starts)[len(starts) // 2]
    scored, rejected = sum(night.scored for night in nights), sum(night.rejected for night in nights)
    codes = sum((Counter(night.reject_codes) for night in nights), Counter())
    with_tokens = [night for night in nights if night.tokens is not None and night.truncated is not None]
    with_bytes = [night for night in nights if night.bytes is not None]
    return Estimate(
        rows=todo.rows,
        slices=todo.slices,
        actors=actors,
        device=todo.allotment.device,
        basis=f"{len(nights)} past night{'' if len(nights) == 1 else 's'}, no sample",
        local=todo.local,
        rows_per_second=scoring.inverse(todo.rows),
        scoring_seconds=scoring,
        start_seconds=Interval(middle, min(starts), max(starts)),
        start_basis="past nights",
        tokens_per_row=_per_row(with_tokens, [night.tokens or 0 for night in with_tokens]),
        truncated_share=share(
            sum(night.truncated or 0 for night in with_tokens),
            sum(night.scored for night in with_tokens),
            todo.rows,
        ),
        rejected_share=share(rejected, scored + rejected, todo.rows),
        reject_codes={code: count / max(scored + rejected, 1) * todo.rows for code, count in sorted(codes.items())},
        bytes=_per_row(with_bytes, [night.bytes or 0 for night in with_bytes]).scaled(todo.rows)
        if with_bytes
        else None,
        made_at=made_at,
    )


def _per_row(nights: Sequence[PastNight], numbers: Sequence[int]) -> Interval:
    return ratio(numbers, [night.scored + night.rejected for night in nights])
