"""Lines of an open JSON Lines file: the object in each, or its fault, in bounded memory."""

import codecs
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from pipeline_lib.inputs.formats.csv_files.csv_lines import MOST_RECORD_BYTES
from pipeline_lib.inputs.formats.json_files.json_types import is_encodable

_PIECE_BYTES = 1 << 16


@dataclass
class Line:
    """A line that is not blank."""

    values: dict[str, Any]
    """Empty if the line has a fault."""
    offset: int
    line: int
    """Lines before it."""
    size_bytes: int
    fault: tuple[str, str] | None = None
    """Reject code and message."""


def lines_of(file: IO[bytes], start: tuple[int, int] = (0, 0)) -> Iterator[Line]:
    """Yield the lines from a place on that are not blank.

    Args:
        file: open for reading bytes, at that place.
        start: bytes and lines before it.
    """
    offset, line = start
    while raw := file.readline(MOST_RECORD_BYTES + 1):
        size = len(raw)
        if size > MOST_RECORD_BYTES:
            size += _rest_of_line(file) if not raw.endswith(b"\n") else 0
            fault = ("malformed", f"line {line + 1}: more than {MOST_RECORD_BYTES >> 20} MiB")
            yield Line({}, offset, line, 0, fault)
        elif content := (raw if offset else raw.removeprefix(codecs.BOM_UTF8)).strip():
            values, fault_or_none = _parsed(content, line + 1)
            yield Line(values, offset, line, size, fault_or_none)
        offset, line = offset + size, line + 1


def _parsed(content: bytes, number: int) -> tuple[dict[str, Any], tuple[str, str] | None]:
    try:
        values = json.loads(content.decode())
    except UnicodeDecodeError:
        return {}, ("not_decodable", f"line {number} holds bytes that are not UTF-8")
    except json.JSONDecodeError as error:
        return {}, ("malformed", f"line {number}: {error.msg} (character {error.pos + 1:,})")
    except (ValueError, RecursionError):
        return {}, ("malformed", f"line {number}: a number is too long, or values are nested too deep")
    if not isinstance(values, dict):
        return {}, ("malformed", f"line {number}: no JSON object")
    # Only an escape can name half of a character.
    if b"\\u" in content and not (is_encodable(values) and is_encodable(values.values())):
        return {}, ("not_decodable", f"line {number} holds half of a character (a surrogate)")
    return values, None


def _rest_of_line(file: IO[bytes]) -> int:
    """Read to the end of the line; return how many bytes that were."""
    size = 0
    while piece := file.readline(_PIECE_BYTES):
        size += len(piece)
        if piece.endswith(b"\n"):
            break
    return size
