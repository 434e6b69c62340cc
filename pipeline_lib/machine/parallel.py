"""Several files at a time: a storage answers slowly, and most of the time goes into waiting for it."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

_THREADS = 16
# What waits for its turn takes a kilobyte, and there may be millions of files.
_WAITING = 1024

_T = TypeVar("_T")
_R = TypeVar("_R")


def in_threads(work: Callable[[_T], _R], items: Iterable[_T]) -> Iterator[_R]:
    """Yield what `work` makes of each item, in their order; the first failure is raised and ends it."""
    left = iter(items)
    with ThreadPoolExecutor(_THREADS) as pool:
        while some := list(islice(left, _WAITING)):
            yield from pool.map(work, some)
