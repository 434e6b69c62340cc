"""The texts on which int8 is calibrated: the user's own, since others leave the scores several times as far off."""

from itertools import islice
from typing import Any

import numpy as np

from pipeline_lib.checkpoints.checkpoint import TokenizedTexts
from pipeline_lib.errors import InputError
from pipeline_lib.inputs.plain_texts import plain_texts
from pipeline_lib.settings.settings import Settings

TEXTS = 128
"""So many are read; more hardly change a range."""
LONGEST = 256
"""Tokens that are used of each, at most."""
_FEWEST = 8


def calibration_texts(settings: Settings) -> tuple[str, ...]:
    """Return the first texts of `model.calibration` that are not blank; none where nothing is calibrated.

    Raises:
        InputError: it can't be read, or has too few texts.
    """
    path = settings.model.calibration
    if path is None:
        return ()
    try:
        texts = tuple(islice(filter(str.strip, plain_texts([path], settings.input)), TEXTS))
    except InputError as error:
        raise InputError(f"model.calibration: {str(error).removeprefix('input.path: ')}") from None
    if len(texts) < _FEWEST:
        raise InputError(
            f"model.calibration: {path!r} has {len(texts)} texts that are not blank; {_FEWEST} are needed"
        )
    return texts


def calibration_rows(texts: tuple[str, ...], tokenizer: Any, max_tokens: int | None) -> TokenizedTexts:
    """Return the texts as the model gets them, each cut to `LONGEST` tokens or fewer."""
    longest = min(max_tokens or LONGEST, LONGEST)
    entries = [tokenizer(text, truncation=True, max_length=longest) for text in texts]
    return TokenizedTexts.of(
        (np.array(entry["input_ids"], np.int32), np.array(entry.get("token_type_ids", []), np.int32))
        for entry in entries
    )
