"""Tokenizers of every family, made of a few texts."""

from typing import Any

import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from tests.helpers.checkpoints.tiny_checkpoints.recipe import Recipe
from tests.helpers.checkpoints.tiny_checkpoints.texts import CORPUS


def word_pieces(recipe: Recipe) -> Any:
    kind = {"mpnet": "MPNet"}.get(recipe.architecture, "Bert")
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    if kind == "MPNet":
        special = ["<s>", "<pad>", "</s>", "[UNK]", "<mask>"]
    # Not trained: the trainer picks other pieces in each process, and a test would then fail one time in fifty.
    normalizer, splitter = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    words = {word for text in CORPUS for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text))}
    starts = {piece for word in words for piece in (word[:1], word[:4])}
    rests = {f"##{piece}" for word in words for piece in (*word[1:], word[4:]) if piece}
    names = {"electra": "Electra", "distilbert": "DistilBert"}
    maker = getattr(transformers, f"{names.get(recipe.architecture, kind)}Tokenizer")
    pieces = [*special, *sorted(starts), *sorted(rests)]
    return maker(vocab={piece: number for number, piece in enumerate(pieces)}, **limit_of(recipe))


def byte_pairs(recipe: Recipe) -> Any:
    architecture = recipe.architecture
    special = {"gpt2": ["<|endoftext|>"], "qwen2": ["<|endoftext|>"]}.get(
        architecture, ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    )
    if architecture == "modernbert":
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    if recipe.pad == "usual" and architecture in ("gpt2", "qwen2"):
        special = [*special, "<pad>"]
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trained.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=500, special_tokens=special, initial_alphabet=alphabet)
    )
    if architecture == "modernbert":
        return _modernbert(trained, recipe)
    merges = [tuple(pair) for pair in _merges(trained)]
    kind = {"gpt2": "GPT2", "qwen2": "Qwen2", "opt": "GPT2"}.get(architecture, "Roberta")
    pads = {"usual": "<pad>", "none": None, "eos": "<|endoftext|>"}
    named = {"pad_token": pads[recipe.pad]} if architecture in ("gpt2", "qwen2") else {}
    return getattr(transformers, f"{kind}Tokenizer")(
        vocab=trained.get_vocab(), merges=merges, **named, **limit_of(recipe)
    )


def _modernbert(trained: Tokenizer, recipe: Recipe) -> Any:
    from tokenizers import processors

    vocab = trained.get_vocab()
    trained.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[(name, vocab[name]) for name in ("[CLS]", "[SEP]")],
    )
    named = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=trained, model_input_names=["input_ids", "attention_mask"], **named, **limit_of(recipe)
    )


def _merges(trained: Tokenizer) -> list[list[str]]:
    import json

    merges: list[list[str]] = json.loads(trained.to_str())["model"]["merges"]
    return merges


def unigrams(recipe: Recipe) -> Any:
    kinds = {
        "xlm-roberta": ("XLMRoberta", ["<s>", "<pad>", "</s>", "<unk>", "<mask>"], "<unk>"),
        "camembert": ("Camembert", ["<s>", "<pad>", "</s>", "<unk>", "<mask>"], "<unk>"),
        "albert": ("Albert", ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"], "<unk>"),
        "deberta-v2": ("DebertaV2", ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], "[UNK]"),
        "xlnet": ("XLNet", ["<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<mask>"], "<unk>"),
        "t5": ("T5", ["<pad>", "</s>", "<unk>"], "<unk>"),
    }
    kind, special, unknown = kinds[recipe.architecture]
    trained = Tokenizer(models.Unigram())
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    trained.train_from_iterator(
        CORPUS, trainers.UnigramTrainer(vocab_size=300, special_tokens=special, unk_token=unknown)
    )
    import json

    vocab = [(piece, round(score, 1)) for piece, score in json.loads(trained.to_str())["model"]["vocab"]]
    # Letters come in another order in each process, with scores that fall by a hair from each to the next.
    vocab[len(special) :] = sorted(vocab[len(special) :], key=lambda piece: (-piece[1], piece[0]))
    more = {"extra_ids": 0} if kind == "T5" else {}
    return getattr(transformers, f"{kind}Tokenizer")(vocab=vocab, **more, **limit_of(recipe))


def limit_of(recipe: Recipe) -> dict[str, int]:
    return {} if recipe.model_max_length is None else {"model_max_length": recipe.model_max_length}
