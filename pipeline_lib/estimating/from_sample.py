"""An estimate from a sample that was scored. Pure arithmetic."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline_lib.estimating.estimate import Estimate
from pipeline_lib.estimating.figures import Interval, ratio, rounds, share
from pipeline_lib.estimating.sampling.sample import Sample, Unit
from pipeline_lib.planning.capacity import Allotment

UNSEEN = 0.1
"""The relative error of times that no sample shows: what else the machine does, and how evenly actors share it."""


@dataclass(frozen=True)
class ToDo:
    """What a run has to score, and with what."""

    rows: int
    slices: int
    allotment: Allotment
    cores: int
    """Of this machine."""
    compared_rows: int = 0
    """Scored in float32 too, and once more in the run's own precision."""
    local: bool = False
    files: int = 0
    """That the slices are published in; 0 if each of them is in a file of its own."""


def estimate_from(sample: Sample, todo: ToDo, start: tuple[Interval, str], made_at: str) -> Estimate:
    """Return the estimate of a run.

    Time is extrapolated by tokens: the seconds for a token come from the rows that were scored, the tokens of a row
    from these and from further rows that were tokenized alone.

    Args:
        sample: what was measured.
        todo: what is to do.
        start: the time before and after scoring, and where it is known from.
        made_at: now, in words.
    """
    seconds_per_row = _seconds_per_row(sample, todo)
    n, actors = max(todo.rows, 1), todo.allotment.model_actors
    again = 1 + 2 * todo.compared_rows / n
    scoring = seconds_per_row.scaled(todo.rows * again * rounds(todo.slices, actors))
    scoring += Interval.of(_seconds_to_warm_up(sample), UNSEEN)
    units = sample.units
    sampled = sum(unit.rows for unit in sample.scored)
    rejected = sample.rejected
    usable = sum(unit.rows - sum(unit.rejected.values()) for unit in units)
    return Estimate(
        rows=todo.rows,
        slices=todo.slices,
        actors=actors,
        device=todo.allotment.device,
        basis=f"a sample of {sampled:,} rows, scored in {sample.processes} processes",
        local=todo.local,
        rows_per_second=scoring.inverse(todo.rows),
        scoring_seconds=scoring,
        start_seconds=start[0],
        start_basis=start[1],
        tokens_per_row=ratio([u.tokens for u in units], [u.rows for u in units], todo.rows),
        truncated_share=share(sum(u.truncated for u in units), usable, todo.rows),
        rejected_share=share(sum(rejected.values()), sampled, todo.rows),
        reject_codes={code: count / max(sampled, 1) * todo.rows for code, count in sorted(rejected.items())},
        bytes=_bytes(sample, todo),
        sample_rows=sampled,
        made_at=made_at,
    )


def _seconds_per_row(sample: Sample, todo: ToDo) -> Interval:
    """Return the seconds from one row to the next with all actors at work."""
    scored = sample.scored
    has_tokens = any(unit.tokens for unit in scored)
    # Where all rows are rejected, it is rows that take time.
    sizes = [_size(unit, by_tokens=has_tokens) for unit in scored]
    all_sizes = [_size(unit, by_tokens=has_tokens) for unit in sample.units]
    per_row = ratio(all_sizes, [unit.rows for unit in sample.units], todo.rows)
    per_size = _seconds_per_size(scored, sizes, per_row.value * todo.rows, todo)
    relative = [(each.high / each.value - 1) if each.value else 0.0 for each in (per_row, per_size)]
    error = sum(each**2 for each in (*relative, UNSEEN)) ** 0.5
    return Interval.of(per_size.value * per_row.value, error)


def _seconds_to_warm_up(sample: Sample) -> float:
    """Return how much longer the first rows of a process take than others."""
    scored, warm = sample.scored, sample.warm
    if not warm:
        return 0.0
    by_tokens = any(unit.tokens for unit in scored)
    usual = ratio([_seconds(unit) for unit in scored], [_size(unit, by_tokens=by_tokens) for unit in scored]).value
    extra = sum(_seconds(unit) - usual * _size(unit, by_tokens=by_tokens) for unit in warm)
    return max(extra / sample.processes, 0.0)


def _seconds(unit: Unit) -> float:
    return sum(unit.seconds.values())


def _size(unit: Unit, *, by_tokens: bool) -> float:
    return unit.tokens if by_tokens else unit.rows


def _seconds_per_size(scored: Sequence[Unit], sizes: Sequence[float], whole: float, todo: ToDo) -> Interval:
    """Return the seconds for a token with all actors at work."""
    each = todo.allotment
    total = ratio([_seconds(unit) for unit in scored], sizes, whole)
    if each.together:
        return total.scaled(1 / each.model_actors)
    # Stages work at the same time, so the slowest of them counts, or the cores, which they share.
    actors = {"tokenizer": each.tokenizer_actors, "model": each.model_actors, "writer": each.writers}
    stages = [
        ratio([unit.seconds[role] for unit in scored], sizes, whole).scaled(1 / number)
        for role, number in actors.items()
    ]
    on_cores = [total.scaled(1 / todo.cores)] if each.device == "cpu" else []
    return max([*stages, *on_cores], key=lambda stage: stage.value)


def _bytes(sample: Sample, todo: ToDo) -> Interval:
    """Return the bytes of all parts and rejects: a file has some, however few rows are in it."""
    scored, empty = sample.scored, sample.empty_part_bytes
    if 0 < todo.files < todo.slices:
        sizes = [unit.part_bytes + unit.reject_bytes for unit in scored]
        per_row = ratio(sizes, [unit.rows for unit in scored], todo.rows).scaled(sample.joined_share)
        return per_row.scaled(todo.rows) + Interval.of(sample.joined_file_bytes * todo.files, 0.0)
    sizes = [max(unit.part_bytes - empty, 0) + unit.reject_bytes for unit in scored]
    per_row = ratio(sizes, [unit.rows for unit in scored], todo.rows)
    return per_row.scaled(todo.rows) + Interval.of(empty * (todo.files or todo.slices), 0.0)
