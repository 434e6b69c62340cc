"""Faults for the S3 proxy: exact ones for requests that are named, and random ones from a seed."""

import random
import threading
from collections import Counter
from collections.abc import Mapping

from tests.helpers.stores.s3_proxy import Answer, Fault, is_listing

RATES: Mapping[Fault, float] = {
    Fault.SLOW_DOWN: 0.03,
    Fault.RESET: 0.03,
    Fault.LOST: 0.03,
    Fault.CUT_READ: 0.03,
    Fault.SLOW_READ: 0.03,
    Fault.CUT_WRITE: 0.02,
    Fault.STALE: 0.5,
}
"""The share of requests that get a fault, of those that can have it."""


def first_times(times: int, word: str, told: tuple[int, str] | Fault) -> Answer:
    """Fail the first requests whose method and path contain a word, then pass them on."""
    seen: Counter[str] = Counter()
    lock = threading.Lock()

    def answer(method: str, path: str) -> tuple[int, str] | Fault | None:
        if word not in f"{method} {path}":
            return None
        with lock:
            seen["all"] += 1
            return told if seen["all"] <= times else None

    return answer


def always(word: str, told: tuple[int, str] | Fault) -> Answer:
    """Fail every request whose method and path contain a word."""
    return lambda method, path: told if word in f"{method} {path}" else None


class RandomFaults:
    """Fails a share of all requests, each by one kind of fault.

    Args:
        seed: of the random numbers; which request gets which of them depends on the order in which they come.
        rates: the share of requests by fault.
    """

    def __init__(self, seed: int, rates: Mapping[Fault, float] = RATES) -> None:
        self._random, self._rates, self._lock = random.Random(seed), rates, threading.Lock()

    def __call__(self, method: str, path: str) -> Fault | None:
        """Return the fault of a request, or None."""
        with self._lock:
            drawn = {fault: self._random.random() < rate for fault, rate in self._rates.items()}
        possible = [fault for fault in drawn if drawn[fault] and _can_have(fault, method, path)]
        return possible[0] if possible else None


def _can_have(fault: Fault, method: str, path: str) -> bool:
    if fault is Fault.STALE:
        return method == "GET" and is_listing(path)
    if fault in (Fault.CUT_READ, Fault.SLOW_READ):
        return method == "GET"
    return fault is not Fault.CUT_WRITE or method in ("PUT", "POST")
