"""Names of columns as messages show them: where a header is missing, the first row's texts stand in its place."""

import re
from collections.abc import Iterable

from pipeline_lib.errors import did_you_mean, listed

# A text has spaces, other characters, or is longer; what is no such name is counted and never shown.
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,39}")


def nearest_column(found: str, columns: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the nearest column with a plain name, or an empty string."""
    return did_you_mean(found, filter(_PLAIN_NAME.fullmatch, columns))


def shown(*columns: str) -> str:
    """Return columns as `'a', 'b'`; a name that is not plain is told to be there.

    >>> shown("id", "I hate this so much!")
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
