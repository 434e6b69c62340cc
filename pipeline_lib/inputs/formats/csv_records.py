"""The records of an open CSV file: where each starts, its fields, and what is wrong with it; in bounded memory."""

import codecs
import csv
import re
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from pipeline_lib.errors import InputError

MOST_RECORD_BYTES = 16 << 20
"""A record beyond this is rejected unread: no text is as long, and a parser needs ten times as much memory."""
MOST_HEADER_BYTES = 1 << 20

_PIECE_BYTES = 1 << 16


@dataclass
class Record:
    """A record; a malformed one has a fault and no fields."""

    fields: list[str]
    offset: int
    line: int
    """Lines before the record."""
    fault: tuple[str, str] | None = None
    """Reject code and message."""
    held_bytes: int = 0
    """Size of a record that was parsed."""


class Records:
    """The records of a file, in order, from its header on or from where one starts.

    Args:
        file: open for reading bytes.
        path: its name, for messages.
        encoding: of its texts.
        delimiter: of its fields.
        start: bytes and lines before the first record.
    """

    def __init__(
        self, file: IO[bytes], path: str, encoding: str, delimiter: str, *, start: tuple[int, int] = (0, 0)
    ) -> None:
        self._path, self._delimiter = path, delimiter
        self._lines = _Lines(file, encoding, start)
        csv.field_size_limit(sys.maxsize)  # a record's size is limited before it is parsed
        self._reader = csv.reader(self._lines, delimiter=delimiter, strict=True)
        self._is_without_line_feeds = False

    def header(self) -> list[str]:
        """Take the first record, which names the columns.

        Raises:
            InputError: there is none, it is malformed, or it has more than a megabyte.
        """
        self._lines.most = MOST_HEADER_BYTES
        try:
            first = next(iter(self._parsed()), None)
        except _TooLargeError as error:
            if b"\r" in error.start:
                self._is_without_line_feeds = True
                self.refuse_old_mac()
            raise InputError(f"{self._path!r} has no header: line 1 has more than 1 MiB") from None
        self._lines.most = MOST_RECORD_BYTES
        self.refuse_old_mac()
        if first is None or first.fault:
            raise InputError(
                f"{self._path!r} has no header: {first.fault[1] if first and first.fault else 'empty'}"
            )
        return first.fields

    def refuse_old_mac(self) -> None:
        """Check that lines end as they should.

        Raises:
            InputError: the only record that was read has bare carriage returns in it and no line feed.
        """
        if self._is_without_line_feeds:
            raise InputError(f"{self._path!r}: lines end in bare carriage returns; use \\n or \\r\\n")

    def __iter__(self) -> Iterator[Record]:
        """Yield every record that is left.

        Raises:
            InputError: a quote never closes.
        """
        while True:
            try:
                yield from self._parsed()
            except _TooLargeError:
                offset, line = self._lines.start
                if not self._lines.skip(_Quotes(self._delimiter)):
                    raise self._never_closes(line) from None
                most = f"{MOST_RECORD_BYTES >> 20} MiB"
                yield Record([], offset, line, ("malformed", f"line {line + 1}: a record of more than {most}"))
            else:
                return

    def _parsed(self) -> Iterator[Record]:
        while True:
            self._lines.begin()
            try:
                fields, fault = self._take()
            except StopIteration:
                return
            if fields or fault:  # a blank line is no record
                offset, line = self._lines.start
                yield Record(fields, offset, line, fault, 0 if fault else self._lines.record_bytes)

    def _take(self) -> tuple[list[str], tuple[str, str] | None]:
        line = self._lines.start[1]
        try:
            return next(self._reader), None
        except csv.Error as error:
            if "unexpected end of data" in str(error):
                raise self._never_closes(line) from None
            if "new-line character" not in str(error):
                return [], ("malformed", f"line {line + 1}: {error}")
        # Taken for any other character, the carriage return leaves the record to end where it does.
        self._lines.again()
        self._take()
        self._is_without_line_feeds = self._lines.is_one_without_end
        return [], ("malformed", f"line {line + 1}: a carriage return outside quotes")

    def _never_closes(self, line: int) -> InputError:
        return InputError(f"{self._path!r}: the quote opened in line {line + 1:,} never closes")


class _TooLargeError(Exception):
    """A record goes on beyond what may be held."""

    def __init__(self, start: bytes) -> None:
        self.start = start
        """Of the line that is too much."""


class _Lines:
    """The lines of a file, decoded, and those of the record at hand until it is done."""

    def __init__(self, file: IO[bytes], encoding: str, start: tuple[int, int]) -> None:
        self._readline, self._encoding = file.readline, encoding
        self._offset, self._line = self.start = start
        self._record: list[str] = []
        self._again: deque[str] = deque()
        self._left = self.most = MOST_RECORD_BYTES
        self._without_returns = False
        self._last = self._beyond = b""

    @property
    def record_bytes(self) -> int:
        """Bytes of the record so far."""
        return self._offset - self.start[0]

    @property
    def is_one_without_end(self) -> bool:
        """Whether the record is a single line that the file ends in."""
        return len(self._record) == 1 and not self._last.endswith(b"\n")

    def begin(self) -> None:
        """Begin a record: `start` is where it starts."""
        self._record = []
        self._left, self._without_returns = self.most, False
        self.start = (self._offset, self._line)

    def again(self) -> None:
        """Give the record's lines once more, and those that follow, with a space for each bare carriage return."""
        self._without_returns = True
        self._record = list(map(_without_returns, self._record))
        self._again = deque(self._record)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self._again:
            return self._again.popleft()
        raw = self._readline(self._left + 1)
        if not raw:
            raise StopIteration
        self._left -= len(raw)
        if self._left < 0:
            self._beyond = raw
            raise _TooLargeError(raw)
        # Bytes that don't decode become lone surrogates, which no decoded text holds.
        content = raw if self._offset else raw.removeprefix(codecs.BOM_UTF8)
        text = content.decode(self._encoding, "surrogateescape")
        self._offset += len(raw)
        self._line += 1
        self._last = raw
        if self._without_returns:
            text = _without_returns(text)
        self._record.append(text)
        return text

    def skip(self, quotes: "_Quotes") -> bool:
        """Read on to the end of the record, a piece at a time; return whether it has one."""
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


class _Quotes:
    """Follows a record of any length to tell whether its end is inside quotes, as the parser would."""

    def __init__(self, delimiter: str) -> None:
        self._delimiter, self._opening = delimiter, delimiter + '"'
        self._state = "start"

    @property
    def are_open(self) -> bool:
        """Whether a line end here is part of a field."""
        return self._state == "quoted"

    def follow(self, text: str) -> None:
        """Go on through the next piece of the record."""
        at = 0
        while at < len(text):
            at = getattr(self, f"_{self._state}")(text, at)

    def _start(self, text: str, at: int) -> int:
        is_quote = text[at] == '"'
        self._state = "quoted" if is_quote else "plain"
        return at + is_quote

    def _plain(self, text: str, at: int) -> int:
        opening = text.find(self._opening, at)
        if opening >= 0:
            self._state = "quoted"
            return opening + len(self._opening)
        if text.endswith(self._delimiter):
            self._state = "start"
        return len(text)

    def _quoted(self, text: str, at: int) -> int:
        inside = _INSIDE_QUOTES.match(text, at)
        end = inside.end() if inside else at
        if end < len(text):
            self._state = "closing"  # or the first half of a doubled quote, whose other half is in the next piece
        return end + 1

    def _closing(self, text: str, at: int) -> int:
        if text[at] == '"':
            self._state = "quoted"
            return at + 1
        # After anything else the parser gives up, and goes on in the next line.
        goes_on = text[at] == self._delimiter or not text[at:].strip("\r\n")
        self._state = "plain" if goes_on else "broken"
        return at

    def _broken(self, text: str, at: int) -> int:
        del at
        return len(text)


_INSIDE_QUOTES = re.compile(r'[^"]*(?:""[^"]*)*')


def _without_returns(text: str) -> str:
    content = text.rstrip("\r\n")
    return content.replace("\r", " ") + text[len(content) :]
