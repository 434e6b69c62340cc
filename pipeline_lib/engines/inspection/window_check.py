"""How a checkpoint's long texts are cut into windows; compared with what its own tokenizer does."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.checkpoints.checkpoint import PROBE
from pipeline_lib.checkpoints.windows import WindowCut
from pipeline_lib.engines.inspection.probe_texts import varied_text
from pipeline_lib.errors import CheckpointError, SettingsError
from pipeline_lib.settings.sections.model import ModelSettings

_WORDS = 40
_CONTENT, _STRIDE = 7, 2
# Of the text in a window, a quarter is in the next one too, so that what a window cuts apart is whole in another.
_SHARED = 4


def window_cut(settings: ModelSettings, tokenizer: Any, limit: int | None) -> WindowCut | None:
    """Return how long texts are cut into windows, or None where the settings have them truncated.

    Args:
        settings: ask for windows or not, and name the stride.
        tokenizer: the checkpoint's.
        limit: tokens of a window at most, special tokens included.

    Raises:
        SettingsError: nothing limits a text, or the stride leaves no step from one window to the next.
        CheckpointError: the tokenizer cuts its texts in another way.
    """
    if settings.long_texts == "truncate":
        return None
    if limit is None:
        raise SettingsError(
            f"model.long_texts: nothing limits the texts of {settings.name!r}, so there is no size for windows; "
            "set model.max_tokens"
        )
    text = _long_text(tokenizer)
    before, after = _special_tokens(tokenizer, text, settings)
    content = limit - before - after
    stride = content // _SHARED if settings.window_stride is None else settings.window_stride
    if stride >= content:
        raise SettingsError(
            f"model.window_stride: {stride} tokens can't be shared by windows with {content} tokens of a text; "
            f"allowed is {content - 1} or less"
        )
    from_end = tokenizer.truncation_side == "left"
    small = WindowCut(before + after + _CONTENT, _STRIDE, before, after, from_end, "mean")
    if not _is_cut_alike(tokenizer, text, small):
        raise _other_cut(tokenizer, settings)
    return WindowCut(limit, stride, before, after, from_end, settings.window_join or "mean")


def _long_text(tokenizer: Any) -> str:
    text = varied_text(_WORDS)
    try:
        tokenizer(text)
    except Exception:  # noqa: BLE001 - a vocabulary may lack these words and a token for unknown ones
        return " ".join([PROBE] * _WORDS)
    return text


def _special_tokens(tokenizer: Any, text: str, settings: ModelSettings) -> tuple[int, int]:
    """Return how many special tokens stand before and after a text."""
    whole, own = tokenizer(text)["input_ids"], tokenizer(text, add_special_tokens=False)["input_ids"]
    special = len(whole) - len(own)
    for before in range(special + 1):
        if whole[before : before + len(own)] == own:
            return before, special - before
    raise _other_cut(tokenizer, settings)


def _is_cut_alike(tokenizer: Any, text: str, cut: WindowCut) -> bool:
    """Tell whether a tokenizer cuts a text into these windows; one in Python gives the first window alone."""
    whole = tokenizer(text)
    many = {"stride": cut.stride, "return_overflowing_tokens": True} if tokenizer.is_fast else {}
    given = tokenizer(text, truncation=True, max_length=cut.limit, **many)
    for name in {"input_ids", "token_type_ids"} & {*whole}:
        windows = _windows(np.array(whole[name], np.int32), cut)
        if (given[name] if many else [given[name]]) != (windows if many else windows[:1]):
            return False
    return True


def _windows(ids: NDArray[np.int32], cut: WindowCut) -> list[list[int]]:
    """Return the windows of one text's token ids or token type ids."""
    count = int(cut.counts(np.array([len(ids)], np.int32))[0])
    bounds = cut.bounds(np.full(count, len(ids), np.int32), np.arange(count))
    return [cut.window(ids, start, end).tolist() for start, end in zip(*bounds, strict=True)]


def _other_cut(tokenizer: Any, settings: ModelSettings) -> CheckpointError:
    return CheckpointError(
        f"model.long_texts: {type(tokenizer).__name__} of {settings.name!r} does not put the same special tokens "
        "around each window; allowed is truncate"
    )
