"""Calls of a tokenizer with many texts, of which one that it refuses fails no other."""

from collections.abc import Callable, Sequence
from typing import TypeVar

_Text = TypeVar("_Text")
_Encoded = TypeVar("_Encoded")


def encoded_by_halves(
    encode: Callable[[Sequence[_Text]], list[_Encoded]], texts: Sequence[_Text], refused: _Encoded
) -> list[_Encoded]:
    """Return what a tokenizer makes of texts, with a stand-in for each text that it refuses.

    Args:
        encode: encodes texts; if it raises, their halves are tried, and theirs.
        texts: what is encoded.
        refused: the stand-in.

    Raises:
        MemoryError, OSError: the machine failed, and the text is not the cause.
    """
    if not texts:
        return []
    try:
        return encode(texts)
    except (MemoryError, OSError):
        raise
    except BaseException as error:
        # A panic in Rust is not an Exception.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        if len(texts) == 1:
            return [refused]
    middle = len(texts) // 2
    return [half for part in (texts[:middle], texts[middle:]) for half in encoded_by_halves(encode, part, refused)]
