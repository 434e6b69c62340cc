"""Long texts, encoded only as far as their tokens can be kept."""

import re
from collections.abc import Callable, Sequence

import numpy as np

from pipeline_lib.scoring.encoding.encoded_texts import Ids, Integers
from pipeline_lib.scoring.encoding.word_boundaries import PLAIN_SPACE

Encode = Callable[[Sequence[str]], tuple[Ids, Integers]]

_find_space = re.compile(PLAIN_SPACE).search
# Characters a token: more than most texts have, so that the first try is nearly always enough.
_CHARACTERS = 8
_GROWTH = 4


def encoded_prefixes(encode: Encode, texts: Sequence[str], needed: int) -> tuple[Ids, Integers]:
    """Return the ids of texts, as many as are needed or more, and how many there are of each.

    A text is cut at a plain space, where the tokens before it do not depend on what comes behind.

    Args:
        encode: returns the ids of texts, one text after the other, and how many each has.
        texts: what is encoded.
        needed: tokens of each text; of a text that has fewer, all are returned.
    """
    sizes = np.full(len(texts), needed * _CHARACTERS)
    while True:
        prefixes = [_prefix(text, size) for text, size in zip(texts, sizes.tolist(), strict=True)]
        ids, counts = encode(prefixes)
        is_cut = [len(prefix) < len(text) for prefix, text in zip(prefixes, texts, strict=True)]
        short = (counts < needed) & np.array(is_cut, bool)
        if not short.any():
            return ids, counts
        sizes[short] *= _GROWTH


def _prefix(text: str, size: int) -> str:
    """Return a text up to its first plain space from some character on; all of it if it is not much longer."""
    space = _find_space(text, size) if len(text) > 2 * size else None
    return text[: space.start()] if space else text
