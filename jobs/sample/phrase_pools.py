"""All sentences that can be values of each product, sorted by what they do in a review.

The phrases are in `phrases.py`, `products.txt` and `languages.txt`; here each frame is filled with each clause.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cache
from itertools import cycle, product
from pathlib import Path
from typing import NamedTuple

from jobs.sample.phrases import (
    BLAME,
    BLANK,
    CLAIMS,
    EMOJI,
    ENDINGS,
    FACTS,
    ODD,
    OPENINGS,
    PRAISE,
    SHORT,
    TITLES,
    WEIGHED,
    WORDS,
)


class Kind(IntEnum):
    """What a sentence does in a review. From CLAIM on these are groups of three: bad, mixed, good."""

    OPENING, FACT, ODD, BLANK = range(4)
    CLAIM, ENDING, TITLE, SHORT, EMOJI, FOREIGN = range(4, 4 + 6 * 3, 3)


class Manner(IntEnum):
    """What kind of text a review is."""

    PROSE, SHORT, FOREIGN, ODD, BLANK = range(5)


MANNERS = [875, 60, 45, 15, 5]  # of 1,000 reviews
# Of 1,000 reviews in prose, how many have from how many to how many sentences: about log-normal, as real ones are.
LENGTHS = [
    (190, 1, 2),
    (286, 3, 4),
    (274, 5, 8),
    (150, 9, 16),
    (63, 17, 32),
    (27, 33, 64),
    (8, 65, 128),
    (2, 129, 260),
]
STARS = [14, 8, 11, 22, 45]  # of 100 reviews
# Of 100 sentences in a review with 1 to 5 stars, how many are bad, mixed and good, and how many are mere facts.
VERDICTS = [(80, 4, 2, 14), (58, 22, 6, 14), (26, 32, 28, 14), (6, 18, 62, 14), (2, 3, 81, 14)]


class Pools(NamedTuple):
    """All phrases in one list; those of a product and a kind are `size` ones from `start` on."""

    phrases: list[str]
    start: list[list[int]]
    size: list[list[int]]


@dataclass
class Product:
    """A product, and what can be values of it: pairs of an aspect and a clause about it."""

    name: str
    it: str
    prices: tuple[int, int]
    bad: list[tuple[str, str]]
    good: list[tuple[str, str]]
    facts: list[str]
    words: dict[str, Iterator[str]] = field(default_factory=lambda: {name: cycle(WORDS[name]) for name in WORDS})

    def fill(self, frames: str, x: str = "", a: str = "", y: str = "") -> Iterator[str]:
        """Fill frames with clauses; a frame with a place for one of the `WORDS` gets the next of them."""
        values = {"name": self.name, "it": self.it, "x": x, "X": x[:1].upper() + x[1:], "a": a, "y": y}
        for frame in _cut(frames.replace("\n", "|")):
            drawn = {name: next(words) for name, words in self.words.items() if f"{{{name}}}" in frame}
            yield frame.format(**values, **drawn)

    def kinds(self) -> list[list[str]]:
        """Return the sentences of each `Kind` in order."""
        bad = [text for aspect, x in self.bad for text in self.fill(f"{CLAIMS}|{BLAME}", x, aspect)]
        good = [text for aspect, x in self.good for text in self.fill(f"{CLAIMS}|{PRAISE}", x, aspect)]
        pairs = [(x, y) for (one, x), (other, y) in product(self.good, self.bad) if one != other]
        mixed = [text for x, y in pairs for text in self.fill(WEIGHED, x, y=y)]
        openings = dict.fromkeys(text for _ in WORDS["who"] for text in self.fill(OPENINGS))
        facts = [*(f"{fact}." for fact in self.facts), *self.fill(FACTS)]
        blocks = (ENDINGS, TITLES, SHORT, EMOJI, *languages())
        verdicts = [self._verdict(block, sign) for block in blocks for sign in "-~+"]
        return [list(openings), facts, ODD, BLANK, bad, mixed, good, *verdicts]

    def _verdict(self, block: str, sign: str) -> list[str]:
        lines = [line[2:] for line in block.strip().splitlines() if line[0] == sign]
        return [text for line in lines for text in self.fill(line)]


@cache
def languages() -> list[str]:
    """Return a block of sentences for each language other than English."""
    return _read("languages.txt").split("\n# ")[1:]


def products() -> list[Product]:
    """Read the table of products."""
    every: list[Product] = []
    for line in _read("products.txt").splitlines():
        sign, _, rest = line.partition(" ")
        if sign == "#":
            continue
        if sign == "=":
            every[-1].facts.extend(_cut(rest))
        elif sign in ("+", "-"):
            aspect, *clauses = _cut(rest)
            side = every[-1].good if sign == "+" else every[-1].bad
            side.extend((aspect, f"{aspect} {clause}") for clause in clauses)
        else:
            name, _, rest = line.partition(": ")
            it, lowest, highest = rest.split(", ")
            every.append(Product(name, it, (int(lowest), int(highest)), [], [], []))
    return every


@cache
def pools() -> Pools:
    """Write out every sentence that can be values of each product."""
    every = Pools([], [], [])
    for kinds in (item.kinds() for item in products()):
        every.size.append([len(kind) for kind in kinds])
        every.start.append([])
        for kind in kinds:
            every.start[-1].append(len(every.phrases))
            every.phrases.extend(kind)
    return every


def _read(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _cut(line: str) -> list[str]:
    return [part.strip() for part in line.split("|")]
