"""Quotes in a CSV record of any length: whether its end is inside quotes, by the rules of Python's parser."""

import re

_INSIDE = re.compile(r'[^"]*(?:""[^"]*)*')


class QuoteState:
    """Whether the end of the text so far is inside quotes; fed a piece at a time."""

    def __init__(self, delimiter: str) -> None:
        self._delimiter, self._opening = delimiter, delimiter + '"'
        self._state = "start"

    @property
    def are_open(self) -> bool:
        """Whether a line end here is part of a field."""
        return self._state == "quoted"

    def follow(self, text: str) -> None:
        """Read the next piece of the record."""
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
        inside = _INSIDE.match(text, at)
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
