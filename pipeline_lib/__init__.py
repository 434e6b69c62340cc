"""Nightscore: scores text with Hugging Face classifiers on Ray Data."""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline_lib.scorer import Scorer

__all__ = ["Scorer"]

# Ray reads this when it is imported, whichever module does that first. It hides the messages about crashed workers:
# their work is done again, and a text that crashes them becomes a reject. All other messages of Ray are shown.
os.environ.setdefault(
    "RAY_DEDUP_LOGS_SKIP_REGEX",
    "A worker died or was killed while executing a task by an unexpected|retries remaining, so the task will be",
)


def __getattr__(name: str) -> Any:
    # On demand, so that importing a single module does not import all of PyTorch.
    if name == "Scorer":
        from pipeline_lib.scorer import Scorer

        return Scorer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
