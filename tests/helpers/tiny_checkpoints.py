"""Tiny checkpoints of many architectures, random but real, and the oracle that every test compares with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

ARCHITECTURES = (
    "bert",
    "distilbert",
    "roberta",
    "xlm-roberta",
    "albert",
    "electra",
    "mpnet",
    "deberta-v2",
    "modernbert",
    "gpt2",
    "qwen2",
)
EXTRA_ARCHITECTURES = ("bart", "camembert", "llama", "opt", "t5", "xlnet")

CORPUS = (
    "I love this kettle, it boils quickly and looks great in the kitchen.",
    "The dress is too small and the zip broke after one day. Very disappointed!",
    "good bad fine great terrible awful wonderful average okay nothing special",
    "Would I buy it again? Yes, without any doubt; it was worth every cent.",
    "text number review word long only second first short boils 0 1 2 3 4 5 6 7 8 9",
    "Не работает, вернул на следующий день. Отличная вещь, рекомендую всем друзьям.",
    "とても良い商品でした。すぐに壊れてしまいました。",
    "منتج رائع وسريع التوصيل. لا أنصح به أبدا",
    "Πολύ καλό προϊόν, το συνιστώ. यह किताब बहुत अच्छी है।",
    "🙂 👍 😡 ❤️ best purchase ever!!! <br /> &amp; more",
)

ADVERSARIAL_TEXTS: tuple[str, ...] = (
    "a fine kettle",
    "",
    " ",
    "\n",
    "\t \r\n",
    "nul \0 inside",
    "🙂",
    "👩‍👩‍👧‍👦 family, 🏳️‍🌈 flag, 🇩🇪 land",
    "e\u0301 and é, Å and A\u030a, ﬁ ligature",
    "مرحبا بالعالم",
    "שלום עולם",
    "とても良い商品でした。",
    "很好的产品，非常推荐",
    "สินค้าดีมาก",
    "मुझे यह बहुत पसंद है",
    "x" * 500,
    "Donaudampfschifffahrtsgesellschaftskapitänsmütze " * 8,
    "word " * 400,
    "!!! ??? ... ,,, ;;; ---",
    "before [SEP] after",
    "[PAD] first, and [PAD] last [PAD]",
    "[MASK] [CLS] [UNK]",
    "ends in </s>",
    "<s> starts, <pad> in the middle, ends in <pad>",
    "ends in <|endoftext|>",
    "<|endoftext|> <|endoftext|>",
    "NA",
    "null",
    "None",
    "  leading and trailing  ",
    "<p>This is <b>bold</b><br />and &amp; so on</p>",
    "https://example.com/a?b=c&d=e#f mail@example.com",
    "3.14159 1,000,000 -7e10 ½ ² Ⅷ",
    "zero\u200bwidth\u200djoiner\ufeff",
    "\ufeffstarts with a byte order mark",
    "𝓕𝓪𝓷𝓬𝔂 𐍈 𠜎",
    "bell \x07 escape \x1b delete \x7f",
    "the same the same the same the same the same",
    "UPPER lower MiXeD",
    "a",
    ".",
    "line one\nline two\n\nline four",
)


@dataclass(frozen=True)
class Recipe:
    """What a tiny checkpoint shall be like."""

    architecture: str
    num_labels: int = 2
    problem_type: str | None = None
    model_max_length: int | None = 64
    """None: the tokenizer names no limit (the 1e30 of transformers)."""
    max_positions: int = 64
    """Usable positions; RoBERTa and its kin get as many more as they reserve."""
    pad: Literal["usual", "none", "eos"] = "usual"
    seed: int = 0
    labels: tuple[str, ...] | None = None
    dtype: str = "float32"
    sentencepiece: bool = False
    """Whether the vocabulary is a model of SentencePiece alone, as in checkpoints from before tokenizer.json."""


@dataclass(frozen=True)
class Answer:
    """What the pipeline says of one text."""

    label: str
    score: float
    scores: NDArray[np.float32]
    """By index of the label."""
    n_tokens: int
    """Before truncation."""


def build(recipe: Recipe, folder: Path) -> Path:
    """Write a checkpoint's configuration, weights and tokenizer, and return the folder."""
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    make, kind, family = _KINDS[recipe.architecture]
    tokenizer = _from_sentencepiece(recipe, folder) if recipe.sentencepiece else make(recipe)
    shape = _decoder_shape(recipe) if recipe.architecture in ("gpt2", "qwen2", "llama", "opt") else {}
    pad = None if recipe.pad == "none" else tokenizer.pad_token_id
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=len(tokenizer),
        num_labels=recipe.num_labels,
        problem_type=recipe.problem_type,
        pad_token_id=pad,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **(_SHAPES[family](recipe) | shape),
    )
    if recipe.labels:
        config.id2label = dict(enumerate(recipe.labels))
    torch.manual_seed(recipe.seed)
    model = getattr(transformers, f"{kind}ForSequenceClassification")(config)
    blind = True
    while blind:
        for name, weight in model.named_parameters():
            if weight.dim() > 1 and "norm" not in name.lower():
                torch.nn.init.normal_(weight, std=0.35)
        blind = _blind(model.eval(), tokenizer, recipe.max_positions)
    model.to(getattr(torch, recipe.dtype)).save_pretrained(folder)
    if not recipe.sentencepiece:
        tokenizer.save_pretrained(folder)
    return folder


def _blind(model: Any, tokenizer: Any, most: int) -> bool:
    """Return whether the scores are all but alike for all texts, which a comparison would not see go wrong."""
    cut = {"truncation": True, "max_length": most, "return_tensors": "pt"}
    with torch.inference_mode():
        logits = torch.cat([model(**tokenizer(text, **cut)).logits for text in CORPUS[:4]])
    scores = logits.softmax(-1) if logits.shape[1] > 1 else logits.sigmoid()
    return bool((scores.amax(0) - scores.amin(0)).max() < 0.2)


def oracle(folder: Path, texts: Sequence[str | tuple[str, str]], max_tokens: int | None) -> list[Answer]:
    """Return what the pipeline says, one call a text, in float32; an empty second text is no pair."""
    pipe = transformers.pipeline("text-classification", model=str(folder), dtype=torch.float32, device="cpu")
    cut: dict[str, Any] = {"truncation": True, "max_length": max_tokens} if max_tokens else {}
    return [_ask(pipe, text, cut) for text in texts]


def _ask(pipe: Any, text: str | tuple[str, str], cut: dict[str, Any]) -> Answer:
    first, second = text if isinstance(text, tuple) else (text, "")
    asked: Any = {"text": first, "text_pair": second} if second else first
    best = pipe(asked, **cut)
    best = best[0] if isinstance(best, list) else best
    # The pipeline's own three steps, without its sorting: names may repeat, so scores are told apart by place.
    outputs = pipe.forward(pipe.preprocess(asked, **cut))
    every = pipe.postprocess(outputs, top_k=None, _legacy=True)
    length = len(pipe.tokenizer(first, second)["input_ids"] if second else pipe.tokenizer(first)["input_ids"])
    scores = np.array([entry["score"] for entry in every], np.float32)
    return Answer(best["label"], best["score"], scores, length)


def _word_pieces(recipe: Recipe) -> Any:
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
    return maker(vocab={piece: number for number, piece in enumerate(pieces)}, **_limit(recipe))


def _byte_pairs(recipe: Recipe) -> Any:
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
        vocab=trained.get_vocab(), merges=merges, **named, **_limit(recipe)
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
        tokenizer_object=trained, model_input_names=["input_ids", "attention_mask"], **named, **_limit(recipe)
    )


def _merges(trained: Tokenizer) -> list[list[str]]:
    import json

    merges: list[list[str]] = json.loads(trained.to_str())["model"]["merges"]
    return merges


def _unigrams(recipe: Recipe) -> Any:
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
    return getattr(transformers, f"{kind}Tokenizer")(vocab=vocab, **more, **_limit(recipe))


def _from_sentencepiece(recipe: Recipe, folder: Path) -> Any:
    """Train a model of SentencePiece into the folder, and return the tokenizer that transformers makes of it."""
    import io
    import json

    import sentencepiece

    kind, name, options = _SENTENCEPIECE[recipe.architecture]
    trained = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS),
        model_writer=trained,
        hard_vocab_limit=False,
        character_coverage=1.0,
        num_threads=1,
        minloglevel=2,
        **{"vocab_size": 300, **options},
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(trained.getvalue())
    config = {"tokenizer_class": f"{kind}Tokenizer", **_limit(recipe)}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return getattr(transformers, f"{kind}Tokenizer").from_pretrained(folder)


def _limit(recipe: Recipe) -> dict[str, int]:
    return {} if recipe.model_max_length is None else {"model_max_length": recipe.model_max_length}


def _encoder(recipe: Recipe) -> dict[str, Any]:
    reserved = 2 if recipe.architecture in ("roberta", "xlm-roberta", "camembert", "mpnet") else 0
    return {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 48,
        "max_position_embeddings": recipe.max_positions + reserved,
        **({"embedding_size": 24} if recipe.architecture in ("albert", "electra") else {}),
        **(
            {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_biased_input": False}
            if recipe.architecture == "deberta-v2"
            else {}
        ),
        **(
            {"global_attn_every_n_layers": 2, "local_attention": 16, "cls_token_id": None, "sep_token_id": None}
            if recipe.architecture == "modernbert"
            else {}
        ),
    }


def _decoder_shape(recipe: Recipe) -> dict[str, Any]:
    return {"num_key_value_heads": 1} if recipe.architecture in ("qwen2", "llama") else {}


_SHAPES: dict[str, Callable[[Recipe], dict[str, Any]]] = {
    "encoder": _encoder,
    "distilbert": lambda r: {
        "dim": 32,
        "n_layers": 2,
        "n_heads": 2,
        "hidden_dim": 48,
        "max_position_embeddings": r.max_positions,
    },
    "gpt2": lambda r: {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": r.max_positions},
    "opt": lambda r: {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "ffn_dim": 48,
        "max_position_embeddings": r.max_positions,
        "word_embed_proj_dim": 32,
    },
    "bart": lambda r: {
        "d_model": 32,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 48,
        "decoder_ffn_dim": 48,
        "max_position_embeddings": r.max_positions,
    },
    "t5": lambda _: {
        "d_model": 32,
        "d_kv": 16,
        "d_ff": 48,
        "num_layers": 2,
        "num_heads": 2,
        "decoder_start_token_id": 0,
    },
    "xlnet": lambda _: {"d_model": 32, "n_layer": 2, "n_head": 2, "d_inner": 48},
}

_KINDS: dict[str, tuple[Callable[[Recipe], Any], str, str]] = {
    "bert": (_word_pieces, "Bert", "encoder"),
    "distilbert": (_word_pieces, "DistilBert", "distilbert"),
    "roberta": (_byte_pairs, "Roberta", "encoder"),
    "xlm-roberta": (_unigrams, "XLMRoberta", "encoder"),
    "albert": (_unigrams, "Albert", "encoder"),
    "electra": (_word_pieces, "Electra", "encoder"),
    "mpnet": (_word_pieces, "MPNet", "encoder"),
    "deberta-v2": (_unigrams, "DebertaV2", "encoder"),
    "modernbert": (_byte_pairs, "ModernBert", "encoder"),
    "gpt2": (_byte_pairs, "GPT2", "gpt2"),
    "qwen2": (_byte_pairs, "Qwen2", "encoder"),
    "bart": (_byte_pairs, "Bart", "bart"),
    "camembert": (_unigrams, "Camembert", "encoder"),
    "llama": (_byte_pairs, "Llama", "encoder"),
    "opt": (_byte_pairs, "OPT", "opt"),
    "t5": (_unigrams, "T5", "t5"),
    "xlnet": (_unigrams, "XLNet", "xlnet"),
}

# The tokenizer's class, the file it looks for, and what its first pieces are.
_SENTENCEPIECE: dict[str, tuple[str, str, dict[str, Any]]] = {
    "xlm-roberta": ("XLMRoberta", "sentencepiece.bpe.model", {}),
    "camembert": ("Camembert", "sentencepiece.bpe.model", {}),
    "albert": (
        "Albert",
        "spiece.model",
        {
            "pad_id": 0,
            "unk_id": 1,
            "bos_id": -1,
            "eos_id": -1,
            "control_symbols": ["[CLS]", "[SEP]"],
            "user_defined_symbols": ["[MASK]"],
        },
    ),
    "deberta-v2": (
        "DebertaV2",
        "spm.model",
        {
            "pad_id": 0,
            "bos_id": 1,
            "eos_id": 2,
            "unk_id": 3,
            "pad_piece": "[PAD]",
            "bos_piece": "[CLS]",
            "eos_piece": "[SEP]",
            "unk_piece": "[UNK]",
        },
    ),
    "t5": ("T5", "spiece.model", {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}),
    "xlnet": ("XLNet", "spiece.model", {"control_symbols": ["<cls>", "<sep>", "<pad>", "<mask>"]}),
    "llama": ("Llama", "tokenizer.model", {"model_type": "bpe", "byte_fallback": True, "vocab_size": 700}),
}
SENTENCEPIECE = tuple(_SENTENCEPIECE)
