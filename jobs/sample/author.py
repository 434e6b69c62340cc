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
class Dice:
    """Dice that fall the same way for the same seed, row, name and turn, in whatever order they are rolled."""

    seed: int

    def roll(self, rows: Ints, name: str, below: int | Ints, turn: int | Ints = 0) -> Ints:
        """Return a number from 0 to below - 1 for each row."""
        start = np.uint64((self.seed * 0x9E3779B97F4A7C15 + (crc32(name.encode()) << 32)) % 2**64)
        bits = _mixed(_mixed(rows.astype(np.uint64) + start) + np.asarray(turn).astype(np.uint64))
        return (bits % np.asarray(below).astype(np.uint64)).astype(np.int64)

    def chance(self, rows: Ints, name: str, share: float) -> Mask:
        """Return true for such a share of the rows."""
        return self.roll(rows, name, 1_000_000) < round(share * 1_000_000)

    def among(self, rows: Ints, name: str, shares: list[int]) -> Ints:
        """Return which of the shares each row falls into."""
        return np.searchsorted(np.cumsum(shares), self.roll(rows, name, sum(shares)), side="right")


def _mixed(bits: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Turn numbers into ones that look random: the last step of the SplitMix64 generator."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


class Outline:
    """What a run of reviews is going to say, before there are words: an array of one value for each row."""

    def __init__(self, dice: Dice, rows: Ints, items: int) -> None:
        # Some reviews repeat an earlier one: everything that they say is drawn for its row.
        copied = dice.chance(rows, "copied", 0.05)
        self.rows = np.where(copied, dice.roll(rows, "original", np.maximum(rows, 1)), rows)
        self.item = dice.roll(self.rows, "item", items)
        self.stars = dice.among(self.rows, "stars", STARS)
        self.mood = np.array([0, 0, 1, 2, 2])[self.stars]
        self.manner = dice.among(self.rows, "manner", MANNERS)
        prose = self.manner == Manner.PROSE
        self.html = prose & dice.chance(self.rows, "html", 0.06)
        self.sloppy = prose & dice.chance(self.rows, "sloppy", 0.05)
        self.shouted = prose & dice.chance(self.rows, "shouted", 0.015)
        self.emoji = (self.manner <= Manner.SHORT) & dice.chance(self.rows, "emoji", 0.09)
        self.sentences = self._lengths(dice) + self.emoji

    def _lengths(self, dice: Dice) -> Ints:
        shares, shortest, longest = np.array(LENGTHS).T
        chosen = dice.among(self.rows, "length", shares.tolist())
        prose = shortest[chosen] + dice.roll(self.rows, "sentences", (longest - shortest + 1)[chosen])
        foreign = 1 + dice.roll(self.rows, "foreign", 3)
        return np.select([self.manner == Manner.PROSE, self.manner == Manner.FOREIGN], [prose, foreign], 1)


class Author:
    """Puts reviews into words."""

    def __init__(self, seed: int, null_rate: float) -> None:
        items, every = products(), pools()
        self._dice, self._null_rate = Dice(seed), null_rate
        self._phrases = pa.array(every.phrases)
        self._start, self._size = np.array(every.start), np.array(every.size)
        self._names = pa.array([item.name for item in items])
        self._prices = np.array([item.prices for item in items])

    def write(self, first: int, end: int) -> pa.RecordBatch:
        """Return the reviews from one row number up to another."""
        rows, dice = np.arange(first, end), self._dice
        told = Outline(dice, rows, len(self._names))
        votes = dice.roll(rows, "votes", 600) >> dice.roll(rows, "few votes", 10)
        title = self._said(told, np.arange(rows.size), Kind.TITLE + told.mood, 0)
        columns = [
            pc.binary_join_element_wise("R", pc.utf8_lpad(pa.array(rows).cast(pa.string()), 10, "0"), ""),
            pa.DictionaryArray.from_arrays(pa.array(told.item, pa.int32()), self._names),
            pa.array(told.stars + 1, pa.int8(), mask=dice.chance(told.rows, "no stars", 0.01)),
            _without(dice.chance(told.rows, "no title", 0.12), title),
            _without(dice.chance(told.rows, "no text", self._null_rate), self._texts(told)),
            pa.array(dice.chance(rows, "verified", 0.83)),
            pa.array(votes, pa.int32(), mask=dice.chance(rows, "no votes", 0.08)),
            self._price(rows, told.item),
            pa.array(NEW_YEAR + dice.roll(rows, "time", YEAR)).cast(SCHEMA.field("reviewed_at").type),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)

    def _price(self, rows: Ints, item: Ints) -> pa.Array:
        lowest, highest = self._prices[item].T
        whole = lowest + self._dice.roll(rows, "price", highest - lowest + 1)
        cents = np.array([0, 49, 95, 99])[self._dice.roll(rows, "cents", 4)]
        return pc.multiply(pa.array(whole * 100 + cents), Decimal("0.01")).cast(SCHEMA.field("price").type)

    def _texts(self, told: Outline) -> pa.Array:
        """Return the text of each review: its sentences, joined and restyled."""
        count, ends = told.sentences, np.cumsum(told.sentences)
        at = np.repeat(np.arange(count.size), count)  # of each sentence, the place of its review
        turn = np.arange(at.size) - (ends - count)[at]
        said = self._said(told, at, self._kinds(told, at, turn), turn)
        breaks = (self._dice.roll(told.rows[at], "break", 5, turn) == 0) & ((count > 7) | told.html)[at]
        gap = np.select([turn == count[at] - 1, breaks], [0, 2 + told.html[at]], 1)
        parts = pc.binary_join_element_wise(said, GAPS.take(pa.array(gap)), "")
        starts = pa.array(np.append(0, ends), pa.int32())
        texts = pc.binary_join(pa.ListArray.from_arrays(starts, parts), "")
        texts = _changed(texts, told.sloppy, lambda some: pc.utf8_lower(pc.replace_substring(some, "'", "")))
        texts = _changed(texts, told.shouted, pc.utf8_upper)
        return _changed(texts, told.html, _marked_up)

    def _kinds(self, told: Outline, at: Ints, turn: Ints) -> Ints:
        """Return which `Kind` of sentence follows which."""
        rows, mood, manner, emoji = told.rows[at], told.mood[at], told.manner[at], told.emoji[at]
        left = told.sentences[at] - 1 - turn - emoji
        foreign = Kind.FOREIGN + 3 * self._dice.roll(rows, "language", len(languages())) + mood
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
        body = BODY[told.stars[at], self._dice.roll(rows, "verdict", 100, turn)]
        return np.select([when for when, _ in choices], [kind for _, kind in choices], body)

    def _said(self, told: Outline, at: Ints, kind: Ints, turn: int | Ints) -> pa.Array:
        """Return a sentence of each kind about the product of the review."""
        item, rows = told.item[at], told.rows[at]
        size, step = self._size[item, kind], STEPS[self._dice.roll(rows, "step", len(STEPS))]
        chosen = (self._dice.roll(rows, "words", size, kind) + turn * step) % size
        return self._phrases.take(pa.array(self._start[item, kind] + chosen))


def _without(mask: Mask, texts: pa.Array) -> pa.Array:
    return pc.if_else(pa.array(mask), None, texts)


def _changed(texts: pa.Array, mask: Mask, change: Callable[[pa.Array], pa.Array]) -> pa.Array:
    return pc.replace_with_mask(texts, pa.array(mask), change(texts.filter(pa.array(mask))))


def _marked_up(texts: pa.Array) -> pa.Array:
    for plain, entity in MARKUP.items():
        texts = pc.replace_substring(texts, plain, entity)
    return texts
