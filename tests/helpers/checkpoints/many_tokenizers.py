"""Tokenizers of many kinds: those that cut a text at its spaces, and those in which a token may reach over one."""

from collections.abc import Callable
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from tests.conftest import ROOT
from tests.helpers.checkpoints.tiny_checkpoints import Recipe
from tests.helpers.checkpoints.tiny_checkpoints.tokenizers import byte_pairs, unigrams, word_pieces

LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)


def rebuilt(tokenizer: Any, **parts: Any) -> Any:
    """Return a tokenizer with other parts of the tokenizers library in it."""
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    for name, part in parts.items():
        setattr(backend, name, part)
    return PreTrainedTokenizerFast(tokenizer_object=backend)


def with_tokens(tokenizer: Any, *tokens: AddedToken) -> Any:
    tokenizer.add_tokens(list(tokens))
    return tokenizer


def on_the_left(tokenizer: Any) -> Any:
    tokenizer.truncation_side = "left"
    return tokenizer


def bpe(**parts: Any) -> Any:
    return rebuilt(byte_pairs(Recipe("roberta")), **parts)


def metaspace_bpe(*, split: bool) -> Any:
    """Return a tokenizer as of models of SentencePiece whose algorithm is BPE."""
    pieces = ["<unk>", "▁", "a", "b", "c", "ab", "▁a", "▁ab", "▁c", "|", "▁|", "b▁", "b▁c"]
    merges = [("a", "b"), ("▁", "a"), ("▁", "ab"), ("▁", "c"), ("▁", "|"), ("b", "▁"), ("b", "▁c")]
    model = models.BPE(dict(zip(pieces, range(13), strict=True)), merges, unk_token="<unk>", fuse_unk=True)  # noqa: S106
    backend = Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=split)
    backend.decoder = decoders.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=backend)


def split_at(pattern: str) -> pre_tokenizers.PreTokenizer:
    bytes_only = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), bytes_only])


def digits_too() -> pre_tokenizers.PreTokenizer:
    """Return what cuts texts of the tiny tokenizers in another way."""
    parts = [pre_tokenizers.Punctuation(), pre_tokenizers.Digits(), pre_tokenizers.Metaspace()]
    return pre_tokenizers.Sequence(parts)


def spaces_joined() -> normalizers.Normalizer:
    parts = [normalizers.NFKC(), normalizers.Strip(left=False), normalizers.Replace(Regex(" {2,}"), "▁")]
    return normalizers.Sequence(parts)


WORD_BY_WORD: dict[str, Callable[[], Any]] = {
    "sample": lambda: AutoTokenizer.from_pretrained(ROOT / "configs/sample/model"),
    "bert": lambda: word_pieces(Recipe("bert")),
    "mpnet": lambda: word_pieces(Recipe("mpnet")),
    "roberta": lambda: byte_pairs(Recipe("roberta")),
    "gpt2": lambda: byte_pairs(Recipe("gpt2")),
    "qwen2": lambda: byte_pairs(Recipe("qwen2")),
    "modernbert": lambda: byte_pairs(Recipe("modernbert")),
    "xlm-roberta": lambda: unigrams(Recipe("xlm-roberta")),
    "albert": lambda: unigrams(Recipe("albert")),
    "deberta-v2": lambda: unigrams(Recipe("deberta-v2")),
    "camembert": lambda: unigrams(Recipe("camembert")),
    "xlnet": lambda: unigrams(Recipe("xlnet")),
    "t5": lambda: unigrams(Recipe("t5")),
    "left": lambda: on_the_left(word_pieces(Recipe("bert"))),
    "bytes after a space": lambda: bpe(pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=True)),
    "llama 3": lambda: bpe(pre_tokenizer=split_at(LLAMA_3)),
    "words": lambda: rebuilt(word_pieces(Recipe("bert")), pre_tokenizer=pre_tokenizers.Whitespace()),
    "digits": lambda: rebuilt(unigrams(Recipe("xlm-roberta")), pre_tokenizer=digits_too()),
    "runs of spaces": lambda: rebuilt(
        unigrams(Recipe("xlm-roberta")), normalizer=spaces_joined(), pre_tokenizer=pre_tokenizers.Metaspace()
    ),
    "metaspace bpe": lambda: metaspace_bpe(split=True),
    "whole words": lambda: with_tokens(word_pieces(Recipe("bert")), AddedToken("fine", single_word=True)),
    "takes spaces before": lambda: with_tokens(byte_pairs(Recipe("gpt2")), AddedToken("<mask>", lstrip=True)),
}


class InPython:
    """Cuts at spaces, as far as anybody knows."""

    def pre_tokenize(self, text: Any) -> None:
        """Cut a text, as the tokenizers library asks for it."""
        text.split(lambda _, part: part.split(" ", "removed"))


def cut_in_python() -> Any:
    tokenizer = word_pieces(Recipe("bert"))
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.PreTokenizer.custom(InPython())
    return tokenizer


AS_A_WHOLE: dict[str, Callable[[], Any]] = {
    "no cut": lambda: metaspace_bpe(split=False),
    "takes spaces behind": lambda: with_tokens(byte_pairs(Recipe("gpt2")), AddedToken("<mask>", rstrip=True)),
    "a space within": lambda: with_tokens(word_pieces(Recipe("bert")), AddedToken("fine kettle")),
    "replaced spaces": lambda: bpe(normalizer=normalizers.Replace(" ", "x")),
    "replaced words": lambda: bpe(normalizer=normalizers.Replace(Regex("e f"), "x")),
    "other pattern": lambda: bpe(pre_tokenizer=split_at("e f|[a-z]+|.")),
    "in Python": cut_in_python,
    "no boundary": lambda: bpe(pre_tokenizer=pre_tokenizers.ByteLevel(use_regex=False)),
    "hidden spaces": lambda: rebuilt(
        unigrams(Recipe("xlm-roberta")),
        pre_tokenizer=pre_tokenizers.Sequence(
            [pre_tokenizers.Metaspace(split=False), pre_tokenizers.WhitespaceSplit()]
        ),
    ),
    "merged punctuation": lambda: rebuilt(
        unigrams(Recipe("xlm-roberta")),
        pre_tokenizer=pre_tokenizers.Sequence(
            [pre_tokenizers.Punctuation("merged_with_next"), pre_tokenizers.Metaspace()]
        ),
    ),
    "stripped": lambda: rebuilt(
        unigrams(Recipe("xlm-roberta")),
        normalizer=normalizers.Strip(),
        pre_tokenizer=pre_tokenizers.Metaspace(prepend_scheme="first"),
    ),
}
