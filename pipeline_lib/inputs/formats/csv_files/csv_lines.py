"""Lines of an open CSV file: decoded one by one, with those of the current record, in bounded memory."""

import codecs
from collections import deque
from collections.abc import Iterator
from typing import IO

from pipeline_lib.inputs.formats.csv_files.csv_quotes import QuoteState

MOST_RECORD_BYTES = 16 << 20
"""A larger record is rejected unread: no text is as long, and a parser needs ten times as much memory."""

_PIECE_BYTES = 1 << 16


class RecordTooLargeError(Exception):
    """A record has more bytes than are allowed."""

    def __init__(self, start: bytes) -> None:
        self.start = start
        """Of the line that goes beyond the limit."""


class Lines:
    """The lines of a file, decoded; those of the current record are kept, to be parsed again if need be."""

    def __init__(self, file: IO[bytes], encoding: str, start: tuple[int, int]) -> None:
        self._readline, self._encoding = file.readline, encoding
        self._offset, self._line = self.start = start
        self._record: list[str] = []
        self._rewound: deque[str] = deque()
        self._left = self.most = MOST_RECORD_BYTES
        self._replaces_returns = False
        self._last = self._beyond = b""

    @property
    def position(self) -> tuple[int, int]:
        """Bytes and lines before the next line."""
        return self._offset, self._line

    @property
    def record_bytes(self) -> int:
        """Bytes of the current record."""
        return self._offset - self.start[0]

    @property
    def is_one_without_end(self) -> bool:
        """Whether the record is a single line without a line end, which only the end of the file allows."""
        return len(self._record) == 1 and not self._last.endswith(b"\n")

    def begin(self) -> None:
        """Begin a record; `start` then has the bytes and lines before it."""
        self._record = []
        self._left, self._replaces_returns = self.most, False
        self.start = (self._offset, self._line)

    def rewind(self) -> None:
        """Yield the record's lines again, and its further ones, with spaces for bare carriage returns."""
        self._replaces_returns = True
        self._record = list(map(_with_spaces_for_returns, self._record))
        self._rewound = deque(self._record)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self._rewound:
            return self._rewound.popleft()
        raw = self._readline(self._left + 1)
        if not raw:
            raise StopIteration
        self._left -= len(raw)
        if self._left < 0:
            self._beyond = raw
            raise RecordTooLargeError(raw)
        # Bytes that don't decode become lone surrogates, which no decoded text holds.
        content = raw if self._offset else raw.removeprefix(codecs.BOM_UTF8)
        text = content.decode(self._encoding, "surrogateescape")
        self._offset += len(raw)
        self._line += 1
        self._last = raw
        if self._replaces_returns:
            text = _with_spaces_for_returns(text)
        self._record.append(text)
        return text

    def skip(self, quotes: QuoteState) -> bool:
        """Read to the end of the record, a piece at a time; return whether the file has it."""
        for text in self._record:
            quotes.follow(text)
        self._record.clear()
        decoder = codecs.getincrementaldecoder(self._encoding)(errors="surrogateescape")
        raw = self._beyond
        while raw:
            quotes.follow(decoder.decode(raw))
            is_whole = raw.endswith(b"\n")
            self._offset += len(raw)
            self._line += is_whole
            if is_whole and not quotes.are_open:
                return True
            raw = self._readline(_PIECE_BYTES)
        return not quotes.are_open


def _with_spaces_for_returns(text: str) -> str:
    content = text.rstrip("\r\n")
    return content.replace("\r", " ") + text[len(content) :]
