"""Names of columns in messages: without a header the names are texts of the first row, which must not be shown."""

import re
from collections.abc import Iterable

from pipeline_lib.errors import did_you_mean, listed

# A text usually has spaces or other characters, or is longer: other names are counted and never shown.
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,39}")


def nearest_column(wrong: str, columns: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the nearest column with a plain name, or an empty string."""
    return did_you_mean(wrong, filter(_PLAIN_NAME.fullmatch, columns))


def quoted_columns(*columns: str) -> str:
    """Return columns as `'a', 'b'`; a name that is not plain is replaced by a remark.

    >>> quoted_columns("id", "I hate this so much!")
    "'id', (not shown: no plain name)"
    """
    return ", ".join(
        repr(name) if _PLAIN_NAME.fullmatch(name) else "(not shown: no plain name)" for name in columns
    )


def listed_columns(columns: Iterable[str]) -> str:
    """Return columns as `'a', 'b' and 3 more` if all have plain names, else how many there are.

    >>> listed_columns(["id", "text"])
    "'id', 'text'"
    >>> listed_columns(["1", "I hate this so much!"])
    '2 columns'
    """
    every = list(columns)
    if all(map(_PLAIN_NAME.fullmatch, every)):
        return listed(every)
    return f"{len(every):,} column{'s' * (len(every) != 1)}"
