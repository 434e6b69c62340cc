"""Work on several files at a time, since most of the time of one goes into waiting for the storage."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

_THREADS = 16
# Each waiting item takes a kilobyte of memory, and there may be millions.
_ITEMS_WAITING = 1024

_T = TypeVar("_T")
_R = TypeVar("_R")


def in_threads(work: Callable[[_T], _R], items: Iterable[_T]) -> Iterator[_R]:
    """Yield what `work` makes of each item, in their order; the first failure is raised and ends it."""
    remaining = iter(items)
    with ThreadPoolExecutor(_THREADS) as pool:
        while batch := list(islice(remaining, _ITEMS_WAITING)):
            yield from pool.map(work, batch)


def read_ahead(read: Callable[[_T], _R], items: Iterable[_T], most: int) -> Iterator[_R]:
    """Yield what `read` returns for each item, in their order, while threads read the next ones.

    Args:
        read: called once for each item.
        items: what is read.
        most: number of results that are held at a time.
    """
    with ThreadPoolExecutor(most) as pool:
        yield from in_order(pool, read, items, most)


def in_order(pool: Executor, work: Callable[[_T], _R], items: Iterable[_T], most: int) -> Iterator[_R]:
    """Yield what threads of a pool make of each item, in their order; at most some results are held at a time."""
    waiting: deque[Future[_R]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) == most:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
