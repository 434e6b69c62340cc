"""Records of an open CSV file: where each starts, its fields or its fault, in bounded memory."""

import csv
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from pipeline_lib.errors import InputError
from pipeline_lib.inputs.formats.csv_files.csv_lines import MOST_RECORD_BYTES, Lines, RecordTooLargeError
from pipeline_lib.inputs.formats.csv_files.csv_quotes import QuoteState

MOST_HEADER_BYTES = 1 << 20


@dataclass
class Record:
    """A record; a malformed one has a fault and no fields."""

    fields: list[str]
    offset: int
    line: int
    """Lines before the record."""
    fault: tuple[str, str] | None = None
    """Reject code and message."""
    size_bytes: int = 0
    """Bytes of a record that was parsed."""


class Records:
    """The records of a file, in order, from its header or from the start of another record.

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
        self._lines = Lines(file, encoding, start)
        csv.field_size_limit(sys.maxsize)  # a record's size is limited before it is parsed
        self._reader = csv.reader(self._lines, delimiter=delimiter, strict=True)
        self._is_without_line_feeds = False

    @property
    def position(self) -> tuple[int, int]:
        """Bytes and lines before what is read next."""
        return self._lines.position

    def header(self) -> list[str]:
        """Return the fields of the first record, which name the columns.

        Raises:
            InputError: there is none, it is malformed, or it has more than a megabyte.
        """
        self._lines.most = MOST_HEADER_BYTES
        try:
            first = next(iter(self._parsed()), None)
        except RecordTooLargeError as error:
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
        """Yield all further records.

        Raises:
            InputError: a quote never closes.
        """
        while True:
            try:
                yield from self._parsed()
            except RecordTooLargeError:
                offset, line = self._lines.start
                if not self._lines.skip(QuoteState(self._delimiter)):
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
        # Read as a space, the carriage return does not change where the record ends.
        self._lines.rewind()
        self._take()
        self._is_without_line_feeds = self._lines.is_one_without_end
        return [], ("malformed", f"line {line + 1}: a carriage return outside quotes")

    def _never_closes(self, line: int) -> InputError:
        return InputError(f"{self._path!r}: the quote opened in line {line + 1:,} never closes")
