"""The token ids of texts, as the checkpoint's tokenizer gives and truncates them."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pipeline_lib.scoring.encoding.encoded_texts import EncodedTexts
from pipeline_lib.scoring.encoding.library_calls import encoded_by_halves
from pipeline_lib.scoring.encoding.prefixes import encoded_prefixes
from pipeline_lib.scoring.encoding.special_tokens import SpecialTokens, special_tokens_of
from pipeline_lib.scoring.encoding.word_boundaries import cuts_at_spaces
from pipeline_lib.scoring.encoding.word_memory import REFUSED, WordMemory

Texts = Sequence[tuple[str, ...]]
"""Texts, or pairs of them, all of one kind."""
_IdsAndTypes = tuple[list[int], list[int]]

# Memory for the tokens of so many characters is taken at a time.
_CHARACTERS_AT_A_TIME = 1 << 22
_TRIED = (
    "It's a fine kettle; it boils quickly, and I'd buy it again! 10 out of 10 (really).",
    "<b>Two</b>  spaces, \ttabs\r\nand lines [SEP] </s> <mask> in a text, a <mask> b",
    "Café, naïve, e\u0301 \u0301x, 🙂 good 👩‍👩‍👧 とても良い 商品 ``so'' he said, ﬁne ½",
    " leads and trails ",
)


class Encoder:
    """Encodes texts with the tokenizer of a checkpoint.

    Most tokenizers of the tokenizers library cut at spaces, whatever they do then: with these, each word is encoded
    once. What any other gives is taken as it is.

    Args:
        tokenizer: of transformers.
        limit: tokens that a text may have, special ones included; None: any number.
        type_ids: whether the model takes token type ids.
        counts_all: whether all tokens of a long text are counted; else it counts as one above the limit.
    """

    def __init__(self, tokenizer: Any, limit: int | None, *, type_ids: bool, counts_all: bool = True) -> None:
        self._tokenizer, self._limit, self._has_type_ids = tokenizer, limit, type_ids
        self._counts_all = counts_all or limit is None
        self._special = special_tokens_of(tokenizer)
        self._words = None
        if self._special and cuts_at_spaces(tokenizer.backend_tokenizer):
            self._words = WordMemory(tokenizer.backend_tokenizer)
            if not self._is_as_whole():
                self._words = None

    @property
    def encodes_words(self) -> bool:
        """Whether each word is encoded once."""
        return self._words is not None

    def encode(self, texts: Texts) -> EncodedTexts:
        """Return the ids of texts; a text that the tokenizer refuses has the id -1 alone."""
        if self._words and self._special and texts and len(texts[0]) == 1:
            parts = _parts([text for (text,) in texts])
            found = EncodedTexts.joined([self._by_words(part, self._words, self._special) for part in parts])
        else:
            found = self._whole(texts)
        if self._counts_all or self._limit is None:
            return found
        return replace(found, counts=np.minimum(found.counts, self._limit + 1))

    def _by_words(self, texts: Sequence[str], words: WordMemory, special: SpecialTokens) -> EncodedTexts:
        self._set_backend()
        if self._counts_all or self._limit is None or special.from_end:
            content, counts = words.encode(texts)
        else:  # with one token more than can be kept it is known that the text is truncated
            needed = self._limit + 1 - len(special.before) - len(special.after)
            content, counts = encoded_prefixes(words.encode, texts, needed)
        refused = np.searchsorted(np.cumsum(counts), np.flatnonzero(content == REFUSED), side="right")
        return special.around(content, counts, self._limit).without(np.unique(refused), REFUSED)

    def _whole(self, texts: Texts) -> EncodedTexts:
        """Encode texts as a whole; those that are too long are then encoded again, if the cut is not known."""
        encode = self._by_backend if self._special else self._by_transformers
        whole = encoded_by_halves(encode, texts, ([REFUSED], [0]))
        counts = [len(ids) for ids, _ in whole]
        limit = self._limit
        too_long = [row for row, count in enumerate(counts) if limit is not None and count > limit]
        for row, shortened in zip(too_long, self._shortened(texts, whole, too_long), strict=True):
            whole[row] = shortened
        return EncodedTexts.of([ids for ids, _ in whole], [types for _, types in whole], counts)

    def _shortened(self, texts: Texts, whole: list[_IdsAndTypes], rows: list[int]) -> list[_IdsAndTypes]:
        limit, special = self._limit, self._special
        if special and limit and len(texts[0]) == 1:
            found = (whole[row] for row in rows)
            return [(special.truncated(ids, limit), special.truncated(types, limit)) for ids, types in found]
        return encoded_by_halves(self._truncated, [texts[row] for row in rows], ([REFUSED], [0]))

    def _by_backend(self, texts: Texts) -> list[_IdsAndTypes]:
        self._set_backend()
        found = self._tokenizer.backend_tokenizer.encode_batch_fast([t[0] if len(t) == 1 else t for t in texts])
        return [(each.ids, each.type_ids if self._has_type_ids else each.ids) for each in found]

    def _by_transformers(self, texts: Texts) -> list[_IdsAndTypes]:
        return self._call(texts, None)

    def _truncated(self, texts: Texts) -> list[_IdsAndTypes]:
        return self._call(texts, self._limit)

    def _call(self, texts: Texts, limit: int | None) -> list[_IdsAndTypes]:
        encoding = self._tokenizer(
            *(list(column) for column in zip(*texts, strict=True)),
            truncation=limit is not None,
            max_length=limit,
            padding=False,
            return_attention_mask=False,
            return_token_type_ids=self._has_type_ids,
            verbose=False,
        )
        ids = encoding["input_ids"]
        return list(zip(ids, encoding["token_type_ids"] if self._has_type_ids else ids, strict=True))

    def _set_backend(self) -> None:
        """Undo what calls through transformers set."""
        backend = self._tokenizer.backend_tokenizer
        backend.no_truncation()
        backend.no_padding()
        backend.encode_special_tokens = self._tokenizer.split_special_tokens

    def _is_as_whole(self) -> bool:
        """Compare texts that are encoded word by word with the tokenizer's own answers."""
        ours = self.encode([(text,) for text in _TRIED])
        whole = [encoded_by_halves(self._truncated, [(text,)], ([REFUSED], [0]))[0] for text in _TRIED]
        theirs = EncodedTexts.of([ids for ids, _ in whole], [types for _, types in whole], [0] * len(whole))
        same_types = not self._has_type_ids or np.array_equal(ours.type_ids, theirs.type_ids)
        return np.array_equal(ours.ids, theirs.ids) and same_types


def _parts(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield texts, as many at a time as there is memory for."""
    start, characters = 0, 0
    for number, text in enumerate(texts):
        characters += len(text)
        if characters > _CHARACTERS_AT_A_TIME and number > start:
            yield texts[start:number]
            start, characters = number, len(text)
    yield texts[start:]
