"""Names of columns in messages: plain ones are quoted_columns, texts never."""

import doctest

import pytest

from pipeline_lib.inputs import column_names
from pipeline_lib.inputs.column_names import listed_columns, nearest_column, quoted_columns


def test_the_examples_in_the_docstrings_are_right() -> None:
    assert doctest.testmod(column_names).failed == 0


@pytest.mark.parametrize(
    "text", ["I hate it", "schlecht!", "这个水壶很好", "", "a" * 41, "5", "two\nlines", "\x1b[31m"]
)
def test_what_is_no_plain_name_is_counted_and_not_shown(text: str) -> None:
    assert listed_columns([text, "id"]) == "2 columns"
    assert listed_columns([text]) == "1 column"
    assert quoted_columns(text) == "(not shown: no plain name)"
    assert nearest_column(text + "x", [text]) == ""


def test_plain_names_are_shown() -> None:
    assert listed_columns([]) == "none"
    assert listed_columns(["id", "review_text"]) == "'id', 'review_text'"
    assert nearest_column("reviewtext", ["id", "a text", "review_text"]) == "; did you mean 'review_text'?"
