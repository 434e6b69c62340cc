"""Train the WordPiece tokenizer of a small classifier."""

from collections import Counter
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def learn_vocabulary(tokenizer: Tokenizer, texts: list[str], most: int) -> dict[str, int]:
    """Learn WordPieces, the same ones each time."""
    count = Counter(letter for text in texts for letter in tokenizer.normalizer.normalize_str(text))
    # Rare letters and rare pieces would teach nothing, and could spell out what one person wrote.
    letters = sorted(sorted(count.keys() - {" "}, key=lambda letter: (-count[letter], letter))[:100])
    trainer = trainers.WordPieceTrainer(
        vocab_size=most,
        min_frequency=5,
        initial_alphabet=letters,
        limit_alphabet=len(letters),
        # Listed here, the letters get their ids in this order. Otherwise their order, and the order of equally
        # frequent pieces, would be random.
        special_tokens=[*SPECIAL, *letters, *(f"##{letter}" for letter in letters)],
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer.get_vocab()


def learn_pieces(texts: list[str], most: int, positions: int) -> Any:
    """Train a lower-cased WordPiece tokenizer on the texts.

    Args:
        texts: what it learns from.
        most: the number of WordPieces that it may have.
        positions: the longest input of the model in tokens.
    """
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))  # noqa: S106 - no password
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    vocabulary = learn_vocabulary(tokenizer, texts, most)
    trained = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))  # noqa: S106 - likewise
    trained.normalizer, trained.pre_tokenizer = tokenizer.normalizer, tokenizer.pre_tokenizer
    trained.decoder = decoders.WordPiece()
    ends = [(piece, vocabulary[piece]) for piece in ("[CLS]", "[SEP]")]
    trained.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", ends)
    return PreTrainedTokenizerFast(
        tokenizer_object=trained,
        model_max_length=positions,
        model_input_names=["input_ids", "attention_mask"],  # this shape knows no token types
        **{f"{piece[1:-1].lower()}_token": piece for piece in SPECIAL},
    )
