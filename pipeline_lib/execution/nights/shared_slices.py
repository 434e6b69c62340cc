"""Rows that several plans need, so that they are read once: one slice stands for those of all these plans."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from pipeline_lib.inputs.shards import MOST_PLANS, Slice
from pipeline_lib.planning.plan import Plan


def shared_slices(todo: Mapping[int, Collection[Slice]], plans: Sequence[Plan]) -> dict[int, list[Slice]]:
    """Return the slices that are left, each of the first plan that needs its rows and also of the others that do.

    Slices whose published scores are taken over stay apart, since each plan has other scores.

    Args:
        todo: the slices that are left, by the number of their plan.
        plans: all plans.
    """
    groups = _alike(list(todo), plans)
    shared: dict[int, list[Slice]] = {number: list(todo[number]) for number in todo}
    for numbers in (numbers for numbers in groups if len(numbers) > 1):
        shared |= _merged({number: todo[number] for number in numbers}, plans)
    return {number: parts for number, parts in shared.items() if parts}


def reading_together(plans: Sequence[Plan]) -> list[Plan]:
    """Return plans of which each reads the columns with true labels of all that read the same rows."""
    together = list(plans)
    for group in _alike(range(len(plans)), plans):
        names = tuple(dict.fromkeys(name for number in group for name in plans[number].truth_columns))
        for number in group:
            together[number] = replace(plans[number], truth_columns=names)
    return together


def _alike(numbers: Sequence[int], plans: Sequence[Plan]) -> list[list[int]]:
    """Return plans that read the same columns of the same files, in groups."""
    groups: list[list[int]] = []
    for number in numbers:
        reading = plans[number].reading
        for group in groups:
            if number - group[0] < MOST_PLANS and plans[group[0]].reading == reading:
                group.append(number)
                break
        else:
            groups.append([number])
    return groups


def _merged(todo: Mapping[int, Collection[Slice]], plans: Sequence[Plan]) -> dict[int, list[Slice]]:
    merged: dict[tuple[object, ...], Slice] = {}
    for number, parts in todo.items():
        plan = plans[number]
        shards = {shard.number: shard for shard in plan.shards}
        for part in parts:
            shard = shards[part.shard]
            alone = number if (part.shard, part.first_row) in plan.reusable else None
            key = (shard.path, shard.stamp, part.first_row, part.rows, alone)
            first = merged.get(key)
            merged[key] = part if first is None else replace(first, also=first.also | 1 << (number - first.night))
    shared: dict[int, list[Slice]] = {number: [] for number in todo}
    for part in merged.values():
        shared[part.night].append(part)
    return shared
