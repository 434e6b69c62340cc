"""Blocks of a CSV file, scanned without parsing: where lines end, and whether quotes follow the rules.

Inside quotes a line end is part of a field. So a line ends a record if an even number of quotes is before it, which
holds where each quote stands where a writer puts one: an opening one after a delimiter or a line end, a closing one
before one of these, or two for one inside a field. A block where that is not so must be parsed. Whether a block
begins inside quotes is not known when it is scanned, so that blocks can be scanned side by side.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_QUOTE, _LINE_FEED, _RETURN = b'"'[0], b"\n"[0], b"\r"[0]
LOOK_AHEAD = 3
"""Bytes after a block that complete its last character."""


class Surroundings(NamedTuple):
    """What is just before and after a block; empty at the ends of a file."""

    before: bytes
    after: bytes


@dataclass(frozen=True)
class Block:
    """What a scan tells of a block."""

    offset: int
    """Of its first byte in the file."""
    size: int
    line_ends: NDArray[Any]
    """Positions of its line feeds."""
    odd: NDArray[Any]
    """For each line feed, whether an odd number of the block's quotes is before it."""
    after_return: NDArray[Any]
    """For each line feed, whether a carriage return is just before it."""
    quotes: int
    is_regular: tuple[bool, bool]
    """Whether it follows the rules if it begins outside quotes, and if it begins inside."""


@dataclass(frozen=True)
class Scanner:
    """Scans blocks of files of one delimiter and encoding.

    Args:
        delimiter: of the fields.
        encoding: of the texts.
    """

    delimiter: str
    encoding: str

    @property
    def can_scan(self) -> bool:
        """Whether each byte that is a quote, a delimiter or a line end is that very character in the encoding."""
        is_ascii = self.delimiter.isascii()
        return is_ascii and (
            self.encoding == "utf-8" or len(bytes(range(256)).decode(self.encoding, "replace")) == 256
        )

    def scanned(self, offset: int, content: bytes, around: Surroundings) -> Block:
        """Return what is known of a block without what comes before it.

        Args:
            offset: of its first byte in the file.
            content: its bytes, at least one.
            around: what is beside it.
        """
        # The ends of a file are like ends of lines; so each byte has neighbours.
        values = np.frombuffer((around.before or b"\n") + content + (around.after[:1] or b"\n"), np.uint8)
        own = values[1:-1]
        quotes, line_ends = np.flatnonzero(own == _QUOTE), np.flatnonzero(own == _LINE_FEED)
        returns = np.flatnonzero(own == _RETURN)
        odd = np.searchsorted(quotes, line_ends) % 2 == 1
        stray = returns[values[returns + 2] != _LINE_FEED]
        is_readable = self._is_readable(content, around.after) and (around.after or content[-1] != _RETURN)
        regular = [
            bool(
                is_readable
                and self._has_regular_quotes(values, quotes, inside)
                and (np.searchsorted(quotes, stray) % 2 != inside).all()
            )
            for inside in (0, 1)
        ]
        after_return = values[line_ends] == _RETURN
        return Block(offset, len(content), line_ends, odd, after_return, len(quotes), (regular[0], regular[1]))

    def _is_readable(self, content: bytes, after: bytes) -> bool:
        """Tell whether all characters that begin in a block can be decoded."""
        if content.isascii():
            return True
        if self.encoding == "utf-8":
            head = next((at for at in range(min(4, len(content))) if not _continues(content[at])), 4)
            tail = next((at for at in range(len(after)) if not _continues(after[at])), len(after))
            content = content[head:] + after[:tail]
        try:
            content.decode(self.encoding)
        except UnicodeDecodeError:
            return False
        return True

    def _has_regular_quotes(self, values: NDArray[Any], quotes: NDArray[Any], inside: int) -> bool:
        """Tell whether quotes stand where the rules have them, given whether the first one closes."""
        opening, closing = quotes[inside::2], quotes[1 - inside :: 2]
        delimiter = ord(self.delimiter)
        opens = np.isin(values[opening], (delimiter, _LINE_FEED, _QUOTE))  # what is just before
        closes = np.isin(values[closing + 2], (delimiter, _LINE_FEED, _RETURN, _QUOTE))  # and just after
        return bool(opens.all() and closes.all())


def _continues(value: int) -> bool:
    """Tell whether a byte of UTF-8 is not the first one of its character."""
    return value & 0xC0 == 0x80
