"""Nightscore: scores text with Hugging Face classifiers on Ray Data."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline_lib.scorer import Scorer

__all__ = ["Scorer"]


def __getattr__(name: str) -> Any:
    # On demand, so that importing a single room does not import all of PyTorch.
    if name == "Scorer":
        from pipeline_lib.scorer import Scorer

        return Scorer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
