"""Counting records in blocks gives what parsing them one by one gives, wherever blocks begin and end."""

import io

from hypothesis import example, given
from hypothesis import strategies as st

from pipeline_lib.errors import InputError
from pipeline_lib.inputs.formats.csv_files.csv_blocks import Scanner
from pipeline_lib.inputs.formats.csv_files.csv_marks import Marks, Position
from pipeline_lib.inputs.formats.csv_files.csv_records import Records
from pipeline_lib.inputs.formats.csv_files.csv_scan import Large, OpenFile, count_records
from tests.helpers.csv_files import BAD_ROWS

# Mostly what writers write, so that blocks are not all irregular.
FIELDS = st.sampled_from(["a", "", '"a,b"', '"a\nb"', '"a\r\nb"', '"say ""a"""', '""', "é", '"é\r"', "漢"])
LINES = st.lists(FIELDS, min_size=1, max_size=3).map(",".join)
REGULAR = st.tuples(st.lists(LINES, max_size=20), st.sampled_from(["\n", "\r\n"]), st.booleans()).map(
    lambda drawn: (drawn[1].join(drawn[0]) + drawn[1] * drawn[2]).encode()
)
PIECES = [b"a", b",", b'"', b"\r", b"\n", b"\xc3\xa9", b"\xff", b"\xe6", b"\0"]
ANY = st.lists(st.sampled_from(PIECES), max_size=60).map(b"".join)
CONTENT = REGULAR | ANY | BAD_ROWS | st.tuples(REGULAR, ANY, REGULAR).map(b"".join)
Found = tuple[int, list[tuple[int, int]], int] | str


def counted(content: bytes, rows_per_slice: int, encoding: str, **limits: int) -> Found:
    """Count the records of a file, in blocks if `limits` has their size, and by threads if it is `large`."""
    file, marks = io.BytesIO(content), Marks("a.csv", rows_per_slice, Position(0, 0))
    is_large = limits.pop("large", False)

    def records_from(start: Position) -> Records:
        return Records(file, "a.csv", encoding, ",", start=start)

    def read(start: int, end: int) -> bytes:
        return b"\n" * (start < 0) + content[max(start, 0) : end]

    large = Large(read, len(content)) if is_large else None
    scanner = Scanner("," if limits else "§", encoding)  # no other delimiter than ASCII's is looked for in blocks
    try:
        count_records(OpenFile(file, scanner, records_from, large, **limits), marks)
    except InputError as error:
        return str(error)
    return marks.rows, marks.slice_offsets, marks.undecodable


LIMITS = st.fixed_dictionaries(
    {"block_bytes": st.integers(1, 40), "parsed_bytes": st.integers(1, 20), "large": st.booleans()}
)
SMALL = {"block_bytes": 1, "parsed_bytes": 1}


@given(
    content=CONTENT,
    rows_per_slice=st.integers(1, 4),
    encoding=st.sampled_from(["utf-8", "latin-1", "cp1252", "ascii", "gbk"]),
    limits=LIMITS,
)
@example(b"a\r", 1, "utf-8", SMALL)
@example(b'\r\n\r\n"\r\n"\n', 1, "utf-8", SMALL)
def test_blocks_give_the_same_marks_as_records(
    content: bytes, rows_per_slice: int, encoding: str, limits: dict[str, int]
) -> None:
    assert counted(content, rows_per_slice, encoding, **limits) == counted(content, rows_per_slice, encoding)


@given(content=REGULAR, block_bytes=st.integers(4, 40))  # a character may have four bytes
def test_a_file_that_follows_the_rules_is_not_parsed(content: bytes, block_bytes: int) -> None:
    file, marks = io.BytesIO(content), Marks("a.csv", 3, Position(0, 0))

    def records_from(start: Position) -> Records:
        raise AssertionError(start)

    count_records(OpenFile(file, Scanner(",", "utf-8"), records_from, block_bytes=block_bytes), marks)


def test_only_encodings_whose_bytes_are_those_of_ascii_are_scanned() -> None:
    scanned = {name for name in ("utf-8", "latin-1", "cp1252", "gbk", "shift_jis") if Scanner(",", name).can_scan}
    assert scanned == {"utf-8", "latin-1", "cp1252"}
