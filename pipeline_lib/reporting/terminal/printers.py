"""What prints the lines of a command on standard error: as text for people, or as JSON for collectors of logs."""

import contextlib
import datetime as dt
import json
import sys
import threading
from collections.abc import Iterator
from typing import Any, Protocol, TextIO

from rich.console import Console

from pipeline_lib.machine.terminal import EscapingStream, printable

_LEVELS = {"note": "warning", "error": "error", "wrong": "error"}


class Printer(Protocol):
    """Prints lines in one format. All texts are escaped here."""

    @property
    def console(self) -> Console | None:
        """Where a bar may be drawn; None in a format that has no pictures."""

    def line(self, topic: str, text: str, **fields: Any) -> None:
        """Print a line on a topic such as `input`; without a topic it goes on with the one before.

        Args:
            topic: a word of at most eight letters.
            text: for people.
            fields: the numbers in the text, for programs.
        """

    def problem(self, kind: str, text: str, **fields: Any) -> None:
        """Print an `error`, or what is `wrong` with an output."""

    def problem_line(self, kind: str, text: str, **fields: Any) -> str:
        """Return what `problem` would print, for a moment in which the streams can't be used."""


class TextPrinter:
    """Prints lines for people.

    Args:
        console: where to.
    """

    def __init__(self, console: Console) -> None:
        self._console = console

    @property
    def console(self) -> Console:
        """The console."""
        return self._console

    def line(self, topic: str, text: str, **fields: Any) -> None:
        """See `Printer`."""
        del fields
        self._print(f"{topic:<8} {printable(text)}")

    def problem(self, kind: str, text: str, **fields: Any) -> None:
        """See `Printer`."""
        self._print(self.problem_line(kind, text, **fields).removesuffix("\n"))

    def problem_line(self, kind: str, text: str, **fields: Any) -> str:
        """See `Printer`."""
        del fields
        return f"{kind}: {printable(text)}\n"

    def _print(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, emoji=False, soft_wrap=True)


class JsonPrinter(EscapingStream):
    """Prints JSON objects, one a line; as standard error, it makes such lines also of what libraries print there.

    Each has `time` (UTC), `level` (info, warning or error), `event` (the topic) and `message`; some have numbers.

    Args:
        stream: where to.
    """

    console = None

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._event, self._begun = "", ""
        self._lock = threading.RLock()

    def line(self, topic: str, text: str, **fields: Any) -> None:
        """See `Printer`."""
        with self._lock:
            self._event = topic or self._event
            self._write(_object(self._event, text, fields))

    def problem(self, kind: str, text: str, **fields: Any) -> None:
        """See `Printer`."""
        self._write(self.problem_line(kind, text, **fields))

    def problem_line(self, kind: str, text: str, **fields: Any) -> str:
        """See `Printer`."""
        return _object(kind, text, fields)

    def write(self, text: str) -> int:
        """Write text of a library: an object for each line, once it is whole."""
        with self._lock:
            *lines, self._begun = (self._begun + text).split("\n")
            for line in filter(str.strip, lines):
                self._write(_object("output", line, {}))
        return len(text)

    def finish(self) -> None:
        """Write a last line without an end."""
        if self._begun:
            self.write("\n")

    def _write(self, line: str) -> None:
        with self._lock:
            self.stream.write(line)
            self.stream.flush()


def _object(event: str, text: str, fields: dict[str, Any]) -> str:
    now = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    level = _LEVELS.get(event, "info")
    # In ASCII, since an encoding of the terminal that lacks a character would break the JSON.
    return json.dumps({"time": now, "level": level, "event": event, "message": printable(text), **fields}) + "\n"


@contextlib.contextmanager
def errors_as_json(stream: TextIO) -> Iterator[None]:
    """Have all that is printed on standard error in the block be lines of JSON on a stream."""
    shown = JsonPrinter(stream)
    before, sys.stderr = sys.stderr, shown
    try:
        yield
    finally:
        shown.finish()
        sys.stderr = before


def printer() -> Printer:
    """Return the printer for standard error as it is now."""
    stream = sys.stderr
    if isinstance(stream, JsonPrinter):
        return stream
    return TextPrinter(Console(file=stream.stream if isinstance(stream, EscapingStream) else stream))
