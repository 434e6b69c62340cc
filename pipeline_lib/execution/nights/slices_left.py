"""Which slices of which nights are left to do, as their results come in."""

from collections.abc import Sequence
from dataclasses import replace

from pipeline_lib.errors import NightscoreError
from pipeline_lib.execution.nights.shared_slices import reading_together, shared_slices
from pipeline_lib.inputs.shards import Slice
from pipeline_lib.planning.plan import Plan
from pipeline_lib.storage.records import Receipt


class SlicesLeft:
    """The slices of several plans without those that are done, or whose night failed.

    Args:
        plans: of the nights, in the order in which they are worked on.
    """

    def __init__(self, plans: Sequence[Plan]) -> None:
        self.plans = reading_together(plans)
        slices = {
            night: {part.key: part for part in (replace(part, night=night) for part in plan.todo)}
            for night, plan in enumerate(plans)
        }
        self.todo = {night: parts for night, parts in slices.items() if parts}
        """By the number of the night and the key of the slice."""
        self.without_any = [night for night, parts in slices.items() if not parts]
        """The nights that had no slice to do from the start."""

    def parts(self) -> dict[int, list[Slice]]:
        """Return the slices that are left by their first plan, each once for all plans that need its rows."""
        return shared_slices({number: list(parts.values()) for number, parts in self.todo.items()}, self.plans)

    @property
    def rows(self) -> int:
        """How many rows the slices have that are left."""
        return sum(part.rows for parts in self.todo.values() for part in parts.values())

    def take(self, night: int, result: Receipt | NightscoreError) -> bool:
        """Take a result off what is left; tell whether it is new: its slice was left, and so was its night."""
        parts = self.todo.get(night, {})
        if isinstance(result, Receipt):
            is_new = parts.pop((night, result.shard, result.first_row), None) is not None
            if is_new and not parts:
                del self.todo[night]
            return is_new
        return self.todo.pop(night, None) is not None
