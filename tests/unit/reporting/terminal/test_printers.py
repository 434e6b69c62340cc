"""Lines of JSON on standard error: always objects, always escaped."""

import io
import json
import sys
import traceback
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.machine.terminal import escaped_output
from pipeline_lib.reporting.terminal.printers import JsonPrinter, errors_as_json, printer


def objects(stream: io.StringIO) -> list[dict[str, Any]]:
    lines = stream.getvalue().splitlines()
    assert all(line.isascii() for line in lines)
    return [json.loads(line) for line in lines]


def test_a_line_has_time_level_event_message_and_its_numbers() -> None:
    stream = io.StringIO()
    shown = JsonPrinter(stream)
    shown.line("scoring", "5 of 10 rows", rows=5)
    shown.line("", "more of it")
    shown.line("note", "something")
    shown.problem("error", "it failed", exit_code=2)
    found = objects(stream)
    assert [line.pop("time")[-1] for line in found] == ["Z"] * 4
    assert found == [
        {"level": "info", "event": "scoring", "message": "5 of 10 rows", "rows": 5},
        {"level": "info", "event": "scoring", "message": "more of it"},
        {"level": "warning", "event": "note", "message": "something"},
        {"level": "error", "event": "error", "message": "it failed", "exit_code": 2},
    ]


@given(st.lists(st.text()), st.text())
def test_what_libraries_print_becomes_objects_too_whatever_it_is(texts: list[str], message: str) -> None:
    stream = io.StringIO()
    with errors_as_json(stream):
        for text in texts:
            sys.stderr.write(text)
        printer().line("note", message)
        sys.stderr.write("no end")
    found = objects(stream)
    assert all(line["message"].isprintable() for line in found)
    printed = "".join(texts)
    assert sum(line["event"] == "note" for line in found) == 1
    wholly = [line for line in (printed + "no end").split("\n") if line.strip()]
    assert len(found) == len(wholly) + 1


def test_tracebacks_are_objects_and_standard_error_is_given_back() -> None:
    stream, before = io.StringIO(), sys.stderr
    with errors_as_json(stream), escaped_output() as below:
        assert below is stream
        try:
            raise ValueError("bad \x1b[2J")  # noqa: TRY301 - to have a traceback
        except ValueError:
            traceback.print_exc()
    assert sys.stderr is before
    assert objects(stream)[-1]["message"] == r"ValueError: bad \x1b[2J"
