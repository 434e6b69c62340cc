"""The steps of several nights in one process: the model that one night loaded is used for the next one too."""

from collections.abc import Callable, Sequence

import pyarrow as pa

from pipeline_lib.execution.steps import NOTHING_READ, Flow, Step, StepMaker, Steps
from pipeline_lib.execution.worker import Worker
from pipeline_lib.inputs.shards import Slice
from pipeline_lib.planning.plan import Plan, ScoringPlan


class NightFlows:
    """Neighbouring steps of whichever night a slice belongs to.

    Args:
        steps: their makers, those of `keeping_what_is_loaded`.
        plan_of: returns the plan of a night by its number.
        worker: the process that this is.
        first: the number of the night whose steps are made at once, so that the model loads before it has work.
    """

    def __init__(
        self, steps: Sequence[StepMaker], plan_of: Callable[[int], Plan], worker: Worker, first: int
    ) -> None:
        self._steps, self._plan_of, self._worker = steps, plan_of, worker
        self._flow: Flow | None = None
        self._night = -1
        self._made(first)

    def __call__(self, part: Slice, table: pa.Table = NOTHING_READ) -> pa.Table:
        """Return what the steps make of a slice."""
        return self._made(part.night)(part, table)

    def _made(self, night: int) -> Flow:
        if self._flow is None or night != self._night:
            self._flow = None  # first, so that a model which this night can't use leaves its memory
            self._flow, self._night = Flow(self._steps, self._plan_of(night), self._worker), night
        return self._flow


def keeping_what_is_loaded(steps: Steps) -> Steps:
    """Return steps whose tokenizer and model are loaded once in each process for all nights that score alike."""
    return steps._replace(tokenize=_Kept(steps.tokenize), classify=_Kept(steps.classify))


class _Kept:
    """Makes a step, and gives it again for each further plan that scores like the one that it was made for."""

    def __init__(self, make: StepMaker) -> None:
        self._make = make
        self._step: Step | None = None
        self._scoring: ScoringPlan | None = None

    def __call__(self, plan: Plan, worker: Worker) -> Step:
        scoring = plan.scoring
        if self._step is None or scoring != self._scoring:
            self._step = None
            self._step, self._scoring = self._make(plan, worker), scoring
        return self._step
