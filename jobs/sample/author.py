"""Write the sample's reviews: what each row says depends on nothing but the seed and the row's number."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from zlib import crc32

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from jobs.sample.phrase_pools import LENGTHS, MANNERS, STARS, VERDICTS, Kind, Manner, languages, pools, products

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


KINDS = [Kind.CLAIM, Kind.CLAIM + 1, Kind.CLAIM + 2, Kind.FACT]
BODY = np.array([np.repeat(KINDS, shares) for shares in VERDICTS])  # by stars, and a number below 100
GAPS = pa.array(["", " ", "\n\n", "<br /><br />"])
MARKUP = {"&": "&amp;", "'": "&#39;", '"': "&quot;"}
# A review goes through the phrases by such steps: primes that divide no pool's size, so that none repeats.
STEPS = np.array([101, 211, 307, 401, 503, 601, 701, 809, 907, 1009, 1103, 1201, 1301, 1409, 1511, 1601])
NEW_YEAR = 1_767_225_600_000  # 2026-01-01 in milliseconds of UTC
YEAR = 365 * 86_400_000  # milliseconds

SCHEMA = pa.schema(
    {
        "review_id": pa.string(),
        "product": pa.dictionary(pa.int32(), pa.string()),
        "rating": pa.int8(),
        "title": pa.string(),
        "text": pa.string(),
        "verified": pa.bool_(),
        "helpful_votes": pa.int32(),
        "price": pa.decimal128(8, 2),
        "reviewed_at": pa.timestamp("ms", tz="UTC"),
    }
)


@dataclass(frozen=True)
class RowRandom:
    """Random numbers that depend on seed, row, name and turn alone, not on the order in which they are drawn."""

    seed: int

    def integers(self, rows: Ints, name: str, below: int | Ints, turn: int | Ints = 0) -> Ints:
        """Return an integer from 0 to below - 1 for each row."""
        start = np.uint64((self.seed * 0x9E3779B97F4A7C15 + (crc32(name.encode()) << 32)) % 2**64)
        bits = _mixed(_mixed(rows.astype(np.uint64) + start) + np.asarray(turn).astype(np.uint64))
        return (bits % np.asarray(below).astype(np.uint64)).astype(np.int64)

    def chance(self, rows: Ints, name: str, share: float) -> Mask:
        """Return true for this share of the rows."""
        return self.integers(rows, name, 1_000_000) < round(share * 1_000_000)

    def choices(self, rows: Ints, name: str, shares: list[int]) -> Ints:
        """Return for each row the index of one of the shares, which are its chances."""
        return np.searchsorted(np.cumsum(shares), self.integers(rows, name, sum(shares)), side="right")


def _mixed(bits: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Turn numbers into ones that look random: the last step of the SplitMix64 generator."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


class Outline:
    """The outline of consecutive reviews: stars, manner, length and so on, each an array with a value per row."""

    def __init__(self, random: RowRandom, rows: Ints, items: int) -> None:
        # Some reviews repeat an earlier one: their content is drawn with the row number of that one.
        copied = random.chance(rows, "copied", 0.05)
        self.rows = np.where(copied, random.integers(rows, "original", np.maximum(rows, 1)), rows)
        self.item = random.integers(self.rows, "item", items)
        self.stars = random.choices(self.rows, "stars", STARS)
        self.mood = np.array([0, 0, 1, 2, 2])[self.stars]
        self.manner = random.choices(self.rows, "manner", MANNERS)
        prose = self.manner == Manner.PROSE
        self.html = prose & random.chance(self.rows, "html", 0.06)
        self.sloppy = prose & random.chance(self.rows, "sloppy", 0.05)
        self.shouted = prose & random.chance(self.rows, "shouted", 0.015)
        self.emoji = (self.manner <= Manner.SHORT) & random.chance(self.rows, "emoji", 0.09)
        self.sentences = self._lengths(random) + self.emoji

    def _lengths(self, random: RowRandom) -> Ints:
        shares, shortest, longest = np.array(LENGTHS).T
        chosen = random.choices(self.rows, "length", shares.tolist())
        prose = shortest[chosen] + random.integers(self.rows, "sentences", (longest - shortest + 1)[chosen])
        foreign = 1 + random.integers(self.rows, "foreign", 3)
        return np.select([self.manner == Manner.PROSE, self.manner == Manner.FOREIGN], [prose, foreign], 1)


class Author:
    """Writes the reviews."""

    def __init__(self, seed: int, null_rate: float) -> None:
        items, every = products(), pools()
        self._random, self._null_rate = RowRandom(seed), null_rate
        self._phrases = pa.array(every.phrases)
        self._start, self._size = np.array(every.start), np.array(every.size)
        self._names = pa.array([item.name for item in items])
        self._prices = np.array([item.prices for item in items])

    def write(self, first: int, end: int) -> pa.RecordBatch:
        """Return the reviews from one row number up to another."""
        rows, random = np.arange(first, end), self._random
        outline = Outline(random, rows, len(self._names))
        votes = random.integers(rows, "votes", 600) >> random.integers(rows, "few votes", 10)
        title = self._sentences(outline, np.arange(rows.size), Kind.TITLE + outline.mood, 0)
        columns = [
            pc.binary_join_element_wise("R", pc.utf8_lpad(pa.array(rows).cast(pa.string()), 10, "0"), ""),
            pa.DictionaryArray.from_arrays(pa.array(outline.item, pa.int32()), self._names),
            pa.array(outline.stars + 1, pa.int8(), mask=random.chance(outline.rows, "no stars", 0.01)),
            _without(random.chance(outline.rows, "no title", 0.12), title),
            _without(random.chance(outline.rows, "no text", self._null_rate), self._texts(outline)),
            pa.array(random.chance(rows, "verified", 0.83)),
            pa.array(votes, pa.int32(), mask=random.chance(rows, "no votes", 0.08)),
            self._price(rows, outline.item),
            pa.array(NEW_YEAR + random.integers(rows, "time", YEAR)).cast(SCHEMA.field("reviewed_at").type),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)

    def _price(self, rows: Ints, item: Ints) -> pa.Array:
        lowest, highest = self._prices[item].T
        whole = lowest + self._random.integers(rows, "price", highest - lowest + 1)
        cents = np.array([0, 49, 95, 99])[self._random.integers(rows, "cents", 4)]
        return pc.multiply(pa.array(whole * 100 + cents), Decimal("0.01")).cast(SCHEMA.field("price").type)

    def _texts(self, outline: Outline) -> pa.Array:
        """Return the text of each review: its sentences, joined and restyled."""
        count, ends = outline.sentences, np.cumsum(outline.sentences)
        at = np.repeat(np.arange(count.size), count)  # of each sentence, the place of its review
        turn = np.arange(at.size) - (ends - count)[at]
        sentences = self._sentences(outline, at, self._kinds(outline, at, turn), turn)
        breaks = (self._random.integers(outline.rows[at], "break", 5, turn) == 0) & ((count > 7) | outline.html)[at]
        gap = np.select([turn == count[at] - 1, breaks], [0, 2 + outline.html[at]], 1)
        parts = pc.binary_join_element_wise(sentences, GAPS.take(pa.array(gap)), "")
        starts = pa.array(np.append(0, ends), pa.int32())
        texts = pc.binary_join(pa.ListArray.from_arrays(starts, parts), "")
        texts = _changed(texts, outline.sloppy, lambda some: pc.utf8_lower(pc.replace_substring(some, "'", "")))
        texts = _changed(texts, outline.shouted, pc.utf8_upper)
        return _changed(texts, outline.html, _marked_up)

    def _kinds(self, outline: Outline, at: Ints, turn: Ints) -> Ints:
        """Return which `Kind` of sentence follows which."""
        rows, mood, manner, emoji = outline.rows[at], outline.mood[at], outline.manner[at], outline.emoji[at]
        left = outline.sentences[at] - 1 - turn - emoji
        foreign = Kind.FOREIGN + 3 * self._random.integers(rows, "language", len(languages())) + mood
        choices = [
            (left < 0, Kind.EMOJI + mood),
            (manner == Manner.SHORT, Kind.SHORT + mood),
            (manner == Manner.FOREIGN, foreign),
            (manner == Manner.ODD, Kind.ODD),
            (manner == Manner.BLANK, Kind.BLANK),
            (turn + left < 2, Kind.CLAIM + mood),  # a short review comes to the point
            ((turn == 0) & (left > 2), Kind.OPENING),
            ((turn > 2) & (left == 0), Kind.ENDING + mood),
        ]
        body = BODY[outline.stars[at], self._random.integers(rows, "verdict", 100, turn)]
        return np.select([when for when, _ in choices], [kind for _, kind in choices], body)

    def _sentences(self, outline: Outline, at: Ints, kind: Ints, turn: int | Ints) -> pa.Array:
        """Return a sentence of each kind about the product of the review."""
        item, rows = outline.item[at], outline.rows[at]
        size, step = self._size[item, kind], STEPS[self._random.integers(rows, "step", len(STEPS))]
        chosen = (self._random.integers(rows, "words", size, kind) + turn * step) % size
        return self._phrases.take(pa.array(self._start[item, kind] + chosen))


def _without(mask: Mask, texts: pa.Array) -> pa.Array:
    return pc.if_else(pa.array(mask), None, texts)


def _changed(texts: pa.Array, mask: Mask, change: Callable[[pa.Array], pa.Array]) -> pa.Array:
    return pc.replace_with_mask(texts, pa.array(mask), change(texts.filter(pa.array(mask))))


def _marked_up(texts: pa.Array) -> pa.Array:
    for plain, entity in MARKUP.items():
        texts = pc.replace_substring(texts, plain, entity)
    return texts
