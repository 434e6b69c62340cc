"""What a tokenizer puts around the tokens of a text, and how it truncates; compared with its own answers."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline_lib.scoring.encoding.encoded_texts import EncodedTexts, Ids, Integers, ranges

# Modules of the classes whose methods take the answers of the tokenizers library as they are.
_PLAIN_METHODS = {
    "__call__": "transformers.tokenization_utils_base",
    "_encode_plus": "transformers.tokenization_utils_tokenizers",
    "_convert_encoding": "transformers.tokenization_utils_tokenizers",
    "set_truncation_and_padding": "transformers.tokenization_utils_tokenizers",
}
_TEXTS = ("fine", "a fine kettle, it boils quickly " * 3, "", " ", "one two\nthree  four. " * 5)
_CONTENT = 7


@dataclass(frozen=True)
class SpecialTokens:
    """Special tokens around a text, which are the same whatever it says, and the side on which it is truncated.

    The tokenizers library truncates a single text before it adds special tokens: it keeps the first tokens, or the
    last ones. See `truncate_encodings` and `TruncationDirection` there.
    """

    before: Ids
    after: Ids
    types_before: Ids
    types_after: Ids
    type_of_text: int
    from_end: bool
    """Whether the last tokens of a long text are kept, since the tokenizer truncates on the left."""

    def around(self, content: Ids, counts: Integers, limit: int | None) -> EncodedTexts:
        """Return texts with their special tokens, truncated to a limit.

        Args:
            content: tokens of all texts without special ones, one text after the other.
            counts: how many of them each text has.
            limit: tokens that a text may have, special ones included; None: any number.
        """
        special = len(self.before) + len(self.after)
        kept = counts if limit is None else np.minimum(counts, limit - special)
        starts = np.cumsum(counts) - counts + (counts - kept if self.from_end else 0)
        lengths = kept + special
        places = np.cumsum(lengths) - lengths
        ids, types = np.empty((2, int(lengths.sum())), np.int32)
        own = ranges(places + len(self.before), kept)
        ids[own], types[own] = content[ranges(starts, kept)], self.type_of_text
        first = places[:, None] + np.arange(len(self.before))
        ids[first], types[first] = self.before, self.types_before
        last = (places + len(self.before) + kept)[:, None] + np.arange(len(self.after))
        ids[last], types[last] = self.after, self.types_after
        return EncodedTexts(ids, types, lengths, counts + special)

    def truncated(self, values: list[int], limit: int) -> list[int]:
        """Return the ids, or type ids, of one text that has more tokens than a limit, special ones included."""
        if self.from_end:
            return values[: len(self.before)] + values[len(values) - limit + len(self.before) :]
        return values[: limit - len(self.after)] + values[len(values) - len(self.after) :]


def special_tokens_of(tokenizer: Any) -> SpecialTokens | None:
    """Return a tokenizer's special tokens, or None where its answers are not just those of the tokenizers library.

    The same special tokens are found, and texts are truncated alike, for each of several texts. That this holds
    for all texts follows from the library: what adds special tokens there does not look at the text.

    Args:
        tokenizer: of transformers.
    """
    if not tokenizer.is_fast or any(
        getattr(getattr(type(tokenizer), name, None), "__module__", None) != module
        for name, module in _PLAIN_METHODS.items()
    ):
        return None
    try:
        found = _found(tokenizer, _TEXTS[1])
        same = found is not None and all(_is_alike(tokenizer, text, found) for text in _TEXTS)
    except Exception:  # noqa: BLE001 - a vocabulary may lack these words and a token for unknown ones
        return None
    return found if same else None


def _found(tokenizer: Any, text: str) -> SpecialTokens | None:
    whole = tokenizer(text, return_token_type_ids=True, verbose=False)
    ids, types = np.array(whole["input_ids"], np.int32), np.array(whole["token_type_ids"], np.int32)
    own = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    for before in range(len(ids) - len(own) + 1):
        end = before + len(own)
        if own and ids[before:end].tolist() == own and len(set(types[before:end].tolist())) == 1:
            kind = int(types[before])
            from_end = tokenizer.truncation_side == "left"
            return SpecialTokens(ids[:before], ids[end:], types[:before], types[end:], kind, from_end)
    return None


def _is_alike(tokenizer: Any, text: str, special: SpecialTokens) -> bool:
    content = np.array(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"], np.int32)
    for limit in (None, len(special.before) + len(special.after) + _CONTENT):
        given = tokenizer(
            text, truncation=limit is not None, max_length=limit, return_token_type_ids=True, verbose=False
        )
        ours = special.around(content, np.array([len(content)]), limit)
        if given["input_ids"] != ours.ids.tolist() or given["token_type_ids"] != ours.type_ids.tolist():
            return False
    return True
