"""Escape what is printed, so that no text can move the cursor, change colours, or forge a line."""

import contextlib
import io
import sys
from collections.abc import Iterator
from typing import TextIO


def printable(text: str) -> str:
    r"""Return text as one line, with every character that is not visible as its escape sequence.

    These are the characters that `repr` escapes too: control characters, line ends, marks of the direction of
    writing, invisible ones, and bytes of file names that are not text.

    >>> print(printable("good\x1b[2J\nPUBLISHED"))
    good\x1b[2J\nPUBLISHED
    """
    if text.isprintable():
        return text
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")


class EscapingStream(io.TextIOBase):
    """A stream for what libraries print: line ends and tabs stay, other invisible characters are escaped.

    Args:
        stream: where the text goes.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        """The stream below, for code that draws with escape sequences."""

    def write(self, text: str) -> int:
        """Write text; return its length."""
        lines = ("\t".join(map(printable, line.split("\t"))) for line in text.split("\n"))
        self.stream.write("\n".join(lines))
        return len(text)

    def flush(self) -> None:
        """Flush the stream below."""
        self.stream.flush()

    def fileno(self) -> int:
        """Return the descriptor of the stream below."""
        return self.stream.fileno()

    def isatty(self) -> bool:
        """Return False, so that no library draws here with escape sequences, which would be shown."""
        return False

    def writable(self) -> bool:
        """Return True."""
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding of the stream below."""
        return self.stream.encoding


@contextlib.contextmanager
def escaped_output() -> Iterator[TextIO]:
    """Escape all that is printed in the block; yield the real standard error, for the progress bar."""
    out, err = sys.stdout, sys.stderr
    if isinstance(err, EscapingStream):
        yield err.stream
        return
    # A character that the terminal's encoding lacks is escaped too; else it would be an error.
    for stream in (out, err):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.stdout, sys.stderr = EscapingStream(out), EscapingStream(err)
    try:
        yield err
    finally:
        sys.stdout, sys.stderr = out, err
