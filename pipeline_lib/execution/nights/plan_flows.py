"""The steps of several plans in one process: what is the same for some of them is loaded once, and done once.

Plans are those of several nights, of several models over the same rows, or of both.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

import pyarrow as pa

from pipeline_lib.execution.steps import NOTHING_READ, Step, StepMaker, Steps
from pipeline_lib.execution.worker import Worker
from pipeline_lib.inputs.shards import Slice
from pipeline_lib.planning.plan import Plan

Taken = tuple[Slice, pa.Table | Exception]
"""A slice of the plans that go on together, and what became of it."""


class PlanFlows:
    """Neighbouring steps of whichever plans a slice belongs to.

    Args:
        steps: their makers, those of `shared_steps`.
        plan_of: returns a plan by its number.
        worker: the process that this is.
        at_a_time: plans whose slices may come by turns.
    """

    def __init__(
        self, steps: Sequence["SharedStep"], plan_of: Callable[[int], Plan], worker: Worker, at_a_time: int
    ) -> None:
        self._steps, self._worker = steps, worker
        self._plan_of = lru_cache(at_a_time)(plan_of)
        self._made = lru_cache(at_a_time * len(steps))(self._make)
        self._paths = lru_cache(at_a_time)(self._paths_by_number)
        self._numbers = lru_cache(at_a_time)(lambda number: {v: k for k, v in self._paths(number).items()})

    def load(self, numbers: Sequence[int]) -> None:
        """Make the steps of some plans, so that the models load before they have work."""
        for number in numbers:
            for at in range(len(self._steps)):
                self._made(at, number)

    def __call__(self, part: Slice, table: pa.Table = NOTHING_READ) -> Iterator[Taken]:
        """Yield what the steps make of a slice: one result for all its plans, or several once these differ.

        An error takes the place of the result of the plans that it belongs to.
        """
        waiting = [(0, part, table)]
        while waiting:
            at, part, table = waiting.pop()
            yield self._taken(at, part, table, waiting)

    def of_plans(self, part: Slice, numbers: Sequence[int]) -> Slice:
        """Return a slice for some of its plans alone, with the number that its shard has in the first of them."""
        first = numbers[0]
        shard = part.shard if first == part.night else self._numbers(first)[self._paths(part.night)[part.shard]]
        return replace(part, night=first, shard=shard, also=sum(1 << (number - first) for number in numbers[1:]))

    def _taken(self, begin: int, part: Slice, table: pa.Table, waiting: list[tuple[int, Slice, pa.Table]]) -> Taken:
        """Take a slice through the steps for its first plan; where the others part from it, they wait there."""
        for at in range(begin, len(self._steps)):
            part, *others = self._parted(self._steps[at], part)
            waiting += [(at, other, table) for other in others[::-1]]
            try:
                table = self._made(at, part.night)(part, table)
            except Exception as error:  # noqa: BLE001 - the caller decides what it ends
                return part, error
        return part, table

    def _parted(self, step: "SharedStep", part: Slice) -> list[Slice]:
        """Return a slice apart for each plan, or for the plans for which a step does the same."""
        numbers = part.plans
        if len(numbers) == 1:
            return [part]
        together: list[tuple[object, list[int]]] = []
        for number in numbers:
            key = step.same(self._plan_of(number), number)
            known = next((those for other, those in together if other == key), None)
            if known is None:
                together.append((key, [number]))
            else:
                known.append(number)
        return [self.of_plans(part, those) for _, those in together]

    def _paths_by_number(self, number: int) -> dict[int, str]:
        return {shard.number: shard.path for shard in self._plan_of(number).shards}

    def _make(self, at: int, number: int) -> Step:
        return self._steps[at].made(self._plan_of(number), self._worker)


class SharedStep:
    """Makes a step for plans, of which some can share what is loaded, or what is done.

    Args:
        make: the maker of the step of one plan.
        same: returns of a plan and its number what is equal for plans for which one call does.
        loaded: returns of a plan what is equal for plans that share what is loaded, which is kept then.
    """

    def __init__(
        self,
        make: StepMaker,
        same: Callable[[Plan, int], object],
        loaded: Callable[[Plan], object] | None = None,
    ) -> None:
        self._make, self.same, self._loaded = make, same, loaded
        self._kept: list[tuple[object, Step]] = []

    def made(self, plan: Plan, worker: Worker) -> Step:
        """Return the step for a plan."""
        key = self._loaded(plan) if self._loaded else None
        for known, kept in self._kept:
            if known == key:
                return kept
        step: Step = self._make(plan, worker)
        if self._loaded:
            self._kept.append((key, step))
        return step


def shared_steps(steps: Steps) -> list[SharedStep]:
    """Return the steps so that rows are read once for all plans, and tokenized once for those of equal tokenizers.

    Tokenizer and model are loaded once in each process for all nights that score alike.
    """
    return [
        SharedStep(steps.read, lambda _plan, _number: None),
        SharedStep(steps.tokenize, lambda plan, _number: plan.tokenizing, lambda plan: plan.tokenizing),
        SharedStep(steps.classify, lambda _plan, number: number, lambda plan: plan.scoring),
        SharedStep(steps.write, lambda _plan, number: number),
    ]
