"""Nightscore: scores text with Hugging Face classifiers on Ray Data."""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline_lib.scorer import Scorer

__all__ = ["Scorer"]

# Ray reads this when it is imported, whichever room does that first. What a worker that died was doing is done
# again, and a text that kills is a reject; everything else that Ray tells is kept.
os.environ.setdefault(
    "RAY_DEDUP_LOGS_SKIP_REGEX",
    "A worker died or was killed while executing a task by an unexpected|retries remaining, so the task will be",
)


def __getattr__(name: str) -> Any:
    # On demand, so that importing a single room does not import all of PyTorch.
    if name == "Scorer":
        from pipeline_lib.scorer import Scorer

        return Scorer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
