"""The encoder gives the ids of the tokenizer's own calls, whole and truncated, whatever the text."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import EsmTokenizer, PreTrainedTokenizerFast

from pipeline_lib.scoring.encoding.encoder import Encoder
from tests.helpers.checkpoints.many_tokenizers import AS_A_WHOLE, WORD_BY_WORD
from tests.helpers.checkpoints.tiny_checkpoints import ADVERSARIAL_TEXTS, SENTENCEPIECE, Recipe
from tests.helpers.checkpoints.tiny_checkpoints.sentencepiece_models import from_sentencepiece
from tests.helpers.checkpoints.tiny_checkpoints.tokenizers import word_pieces

LIMIT = 12


@cache
def encoder_of(name: str) -> tuple[Any, Encoder]:
    """Return a tokenizer, and an encoder that keeps what it has learnt of earlier texts."""
    tokenizer = (WORD_BY_WORD | AS_A_WHOLE)[name]()
    return tokenizer, Encoder(tokenizer, LIMIT, type_ids=True)


def assert_ids_are_those_of_the_tokenizer(
    tokenizer: Any, encoder: Encoder, texts: list[tuple[str, ...]], limit: int | None = LIMIT
) -> None:
    found = encoder.encode(texts)
    bounds = np.cumsum([0, *found.lengths]).tolist()
    for row, text in enumerate(texts):
        cut = {"truncation": True, "max_length": limit} if limit else {}
        wanted = tokenizer(*text, **cut, return_token_type_ids=True, verbose=False)
        mine = slice(bounds[row], bounds[row + 1])
        assert found.ids[mine].tolist() == wanted["input_ids"], text
        assert found.type_ids[mine].tolist() == wanted["token_type_ids"], text
        assert found.counts[row] == len(tokenizer(*text, verbose=False)["input_ids"]), text


FRAGMENTS = (
    *ADVERSARIAL_TEXTS,
    *(
        "fine",
        "kettle",
        "Kettle,",
        "it's",
        "'s",
        "e",
        "f",
        "x",
        "ab",
        "c",
        "b",
        "|",
        "||",
        "｜",
        "``so''",
        "''",
        "12345",
    ),
    *(
        "<mask>",
        "[SEP]",
        "[sep]",
        "</s>",
        "<s>x",
        "<|endoftext|>",
        "▁",
        "▁a",
        "Ġ",
        "##s",
        "\u0301",
        "\u0600",
        "\u200d",
    ),
    *("\x1c", "\x85", "\x00", "가", "\u1100", "\u0e33", "ﬁne", "½", "İ", "ǅ", "ß", "Σ", "x" * 120, "🙂🙂", "商品"),
)
GAPS = st.sampled_from(
    [" "] * 6 + ["", "  ", "   ", "\n", "\r\n", " \n", "\t", "\u00a0", "\u3000", "\u2028", "\x0b"]
)
LONG = st.sampled_from([0, 1, 3, 10, 100])
PIECES = st.one_of(st.sampled_from(FRAGMENTS), st.sampled_from(FRAGMENTS), st.text(max_size=6))


@st.composite
def texts(draw: st.DrawFn) -> str:
    parts = draw(st.lists(st.tuples(GAPS, PIECES), max_size=12))
    return draw(st.sampled_from(["", "", " "])).join(gap + piece for gap, piece in parts)


@pytest.mark.parametrize("name", [*WORD_BY_WORD, *AS_A_WHOLE])
@settings(max_examples=20)
@example(some=list(ADVERSARIAL_TEXTS), pairs=False)
@given(some=st.lists(texts(), min_size=1, max_size=4), pairs=st.booleans())
def test_ids_are_those_of_the_tokenizer_and_all_its_tokens_are_counted(
    name: str, some: list[str], pairs: bool
) -> None:
    tokenizer, encoder = encoder_of(name)
    asked: list[tuple[str, ...]] = [(text, some[0] or "x") if pairs else (text,) for text in some]
    assert_ids_are_those_of_the_tokenizer(tokenizer, encoder, asked)


@pytest.mark.parametrize("name", ["bert", "roberta", "xlm-roberta", "deberta-v2", "left", "no cut"])
@settings(max_examples=10)
@given(some=st.lists(st.builds(lambda text, more, times: text + more * times, texts(), texts(), LONG), min_size=1))
def test_without_a_count_of_all_tokens_only_the_count_differs(name: str, some: list[str]) -> None:
    tokenizer, every = encoder_of(name)
    encoder = Encoder(tokenizer, LIMIT, type_ids=True, counts_all=False)
    asked = [(text,) for text in some]
    found, whole = encoder.encode(asked), every.encode(asked)
    assert found.ids.tolist() == whole.ids.tolist()
    assert found.type_ids.tolist() == whole.type_ids.tolist()
    assert found.counts.tolist() == np.minimum(whole.counts, LIMIT + 1).tolist()


def test_of_a_long_text_only_the_beginning_is_encoded_unless_all_tokens_are_counted() -> None:
    words = [f"{number}x" for number in range(5000)]
    for counts_all in (True, False):
        tokenizer = word_pieces(Recipe("bert"))
        encoder = Encoder(tokenizer, LIMIT, type_ids=True, counts_all=counts_all)
        encoder.encode([(" ".join(words),)])
        assert encoder._words
        assert (words[-1] in encoder._words._known) == counts_all


@pytest.mark.parametrize("name", WORD_BY_WORD)
def test_words_are_encoded_once_where_the_tokenizer_cuts_at_spaces(name: str) -> None:
    assert encoder_of(name)[1].encodes_words


@pytest.mark.parametrize("name", AS_A_WHOLE)
def test_texts_are_encoded_whole_where_a_token_may_reach_over_a_space(name: str) -> None:
    assert not encoder_of(name)[1].encodes_words


@pytest.mark.parametrize("architecture", SENTENCEPIECE)
def test_ids_are_those_of_tokenizers_made_of_sentencepiece_models(architecture: str, tmp_path: Path) -> None:
    tokenizer = from_sentencepiece(Recipe(architecture, sentencepiece=True), tmp_path)
    encoder = Encoder(tokenizer, LIMIT, type_ids=True)
    assert encoder.encodes_words == (architecture != "llama")
    asked = [*ADVERSARIAL_TEXTS, *(" ".join(pair) for pair in zip(FRAGMENTS, reversed(FRAGMENTS), strict=True))]
    assert_ids_are_those_of_the_tokenizer(tokenizer, encoder, [(text,) for text in asked])


def test_without_a_limit_texts_are_whole() -> None:
    tokenizer, _ = encoder_of("bert")
    encoder = Encoder(tokenizer, None, type_ids=True)
    assert_ids_are_those_of_the_tokenizer(tokenizer, encoder, [(text,) for text in ADVERSARIAL_TEXTS], None)


@pytest.mark.parametrize("more", ["", "kettle, it boils quickly one two three four."])
def test_a_text_that_the_tokenizer_refuses_fails_no_other(more: str) -> None:
    words = {word: number for number, word in enumerate(["a", "b", "c", "[A]", "fine", *more.split()])}
    backend = Tokenizer(models.WordLevel(words, "[UNK]"))  # a word that is not there is an error
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.post_processor = processors.TemplateProcessing("[A] $0", special_tokens=[("[A]", 3)])
    encoder = Encoder(PreTrainedTokenizerFast(tokenizer_object=backend), 3, type_ids=False)
    assert encoder.encodes_words == bool(more)
    found = encoder.encode([("a b",), ("a x",), ("c",), ("a b c x",), ("a b c",), ("\ud800",), ("x",)])
    assert found.ids.tolist() == [3, 0, 1, -1, 3, 2, -1, 3, 0, 1, -1, -1]
    assert found.lengths.tolist() == [3, 1, 2, 1, 3, 1, 1]
    assert found.counts[[0, 2, 4]].tolist() == [3, 2, 4]


def test_a_tokenizer_in_python_is_asked_as_before(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("<cls>\n<pad>\n<eos>\n<unk>\n<mask>\na\nb")
    tokenizer = EsmTokenizer(str(tmp_path / "vocab.txt"))
    encoder = Encoder(tokenizer, 4, type_ids=True)
    assert not encoder.encodes_words
    assert_ids_are_those_of_the_tokenizer(tokenizer, encoder, [("a b a b a",), ("a",), ("",)], 4)


def test_a_class_that_changes_the_answers_of_the_library_is_asked_itself() -> None:
    class Reversing(PreTrainedTokenizerFast):  # type: ignore[misc] # transformers has no types
        """Gives the tokens from the last to the first."""

        def _encode_plus(self, *texts: Any, **options: Any) -> Any:
            found = super()._encode_plus(*texts, **options)
            found["input_ids"] = [ids[::-1] if isinstance(ids, list) else ids for ids in found["input_ids"]]
            return found

    plain = word_pieces(Recipe("bert"))
    tokenizer = Reversing(tokenizer_object=plain.backend_tokenizer)
    encoder = Encoder(tokenizer, LIMIT, type_ids=False)
    assert not encoder.encodes_words
    wanted = tokenizer(["good bad"], verbose=False)["input_ids"][0]
    assert encoder.encode([("good bad",)]).ids.tolist() == wanted != plain("good bad")["input_ids"]


def test_words_are_forgotten_when_they_fill_the_memory_and_ids_stay_the_same() -> None:
    tokenizer, _ = encoder_of("bert")
    encoder = Encoder(tokenizer, LIMIT, type_ids=True)
    words = encoder._words
    assert words
    words._characters = 1 << 40
    assert_ids_are_those_of_the_tokenizer(tokenizer, encoder, [("good bad",), ("fine",)])
    assert words._characters < 10_000
