"""A stage: a step of scoring that a row may crash, so that it works in batches that can be noted beforehand."""

from collections.abc import Callable, Sequence
from typing import Protocol

import pyarrow as pa

OnBatch = Callable[[Sequence[int]], None]
"""Called with the numbers of the rows that are computed next."""


class Stage(Protocol):
    """A step whose process a row may crash."""

    name: str
    of: str
    """Fingerprint of what it computes with: a row that crashes one model may be scored by another."""

    @property
    def reads(self) -> Sequence[str]:
        """The columns that alone decide the result of a row; a table may lack some."""

    def __call__(self, table: pa.Table, on_batch: OnBatch | None = None, *, one_by_one: bool = False) -> pa.Table:
        """Compute a slice; call `on_batch` with the rows of each batch before it starts."""

    def probe(self) -> None:
        """Compute something that is known to work."""
