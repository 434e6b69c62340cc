"""Train a small DistilBERT-shaped classifier and its WordPieces on chosen texts."""

import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch.nn import functional
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    PreTrainedTokenizerFast,
)

from jobs.sample.train_texts import TrainingError

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
BATCH_TO_SCORE = 3072  # padded tokens; more spill from a CPU's cache
REPORT_EVERY = 200  # steps


@dataclass(frozen=True)
class Recipe:
    """What is trained, and how; the command's options explain each field."""

    labels: list[str]
    max_tokens: int = 512
    temperature: float = 2.0
    soft_share: float = 0.5
    vocabulary: int = 8000
    layers: int = 3
    width: int = 192
    heads: int = 4
    inner: int = 512
    positions: int = 512
    start: str | None = None
    hide: float = 0.1
    epochs: int = 4
    batch_tokens: int = 4096
    peak_rate: float = 1e-3
    seed: int = 0


def say(text: str) -> None:
    """Print a line of progress with the time."""
    print(time.strftime("%H:%M:%S"), text, flush=True)


def batches(lengths: list[int], most: int, seed: int) -> list[list[int]]:
    """Group rows of like length so that a padded batch has at most so many tokens, in random order."""
    rng = np.random.default_rng(seed)
    jitter = rng.uniform(0.9, 1.1, len(lengths))  # other neighbours in every epoch
    groups: list[list[int]] = [[]]
    longest = 0
    for row in np.argsort(np.array(lengths) * jitter):
        longest = max(longest, lengths[row])
        if groups[-1] and longest * (len(groups[-1]) + 1) > most:
            groups.append([])
            longest = lengths[row]
        groups[-1].append(int(row))
    return [groups[i] for i in rng.permutation(len(groups))]


def logits_of(checkpoint: str, texts: list[str], limit: int) -> npt.NDArray[np.float32]:
    """Score texts with a checkpoint; texts over the limit of tokens are cut."""
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    model = AutoModelForSequenceClassification.from_pretrained(checkpoint, dtype=torch.float32).eval()
    scores = np.zeros((len(texts), model.config.num_labels), np.float32)
    ids = tokenizer(texts, truncation=True, max_length=limit)["input_ids"] if texts else []
    groups = batches([len(row) for row in ids], BATCH_TO_SCORE, 0) if texts else []
    for done, rows in enumerate(groups, 1):
        inputs = tokenizer.pad({"input_ids": [ids[i] for i in rows]}, return_tensors="pt")
        with torch.inference_mode():
            scores[rows] = model(**inputs).logits.numpy()
        if done % REPORT_EVERY == 0:
            say(f"scored {done:,} of {len(groups):,} batches")
    return scores


def check_labels(checkpoint: str, classes: int) -> None:
    """Fail at once, not after minutes of reading, if a given checkpoint cannot be used."""
    try:
        known = AutoConfig.from_pretrained(checkpoint).num_labels
    except (OSError, ValueError) as error:
        raise TrainingError(f"cannot load {checkpoint}: {str(error).splitlines()[0]}") from error
    if known != classes:
        raise TrainingError(f"{checkpoint} has {known} labels, not {classes}")


def taught(rows: pd.DataFrame, teacher: str | None, limit: int) -> pd.DataFrame:
    """Add the teacher's logits to the texts that it can read whole, within a limit of tokens."""
    rows = rows.assign(soft=None)
    if teacher:
        # Counted in words, about 1.3 tokens each: tokenizing all to find the short ones takes longer.
        short = rows.index[rows["text"].map(lambda text: len(text.split()) * 1.3 + 2 <= limit)]
        say(f"the teacher reads {len(short):,} texts")
        scores = logits_of(teacher, rows.loc[short, "text"].tolist(), limit)
        rows.loc[short, "soft"] = pd.Series(list(scores), index=short)
    return rows


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
        # Named here, letters get their numbers in order; else the order is random, and so are ties.
        special_tokens=[*SPECIAL, *letters, *(f"##{letter}" for letter in letters)],
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer.get_vocab()


def learn_pieces(texts: list[str], recipe: Recipe) -> Any:
    """Train a lower-cased WordPiece tokenizer on the texts."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))  # noqa: S106 - no password
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    vocabulary = learn_vocabulary(tokenizer, texts, recipe.vocabulary)
    trained = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))  # noqa: S106 - likewise
    trained.normalizer, trained.pre_tokenizer = tokenizer.normalizer, tokenizer.pre_tokenizer
    trained.decoder = decoders.WordPiece()
    ends = [(piece, vocabulary[piece]) for piece in ("[CLS]", "[SEP]")]
    trained.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", ends)
    return PreTrainedTokenizerFast(
        tokenizer_object=trained,
        model_max_length=recipe.positions,
        model_input_names=["input_ids", "attention_mask"],  # this shape knows no token types
        **{f"{piece[1:-1].lower()}_token": piece for piece in SPECIAL},
    )


def new_model(tokenizer: Any, recipe: Recipe) -> Any:
    """Draw a DistilBERT-shaped classifier at random."""
    config = DistilBertConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=recipe.positions,
        n_layers=recipe.layers,
        n_heads=recipe.heads,
        dim=recipe.width,
        hidden_dim=recipe.inner,
        # Dropout costs a CPU a third of its time; hidden pieces keep the model from learning by heart.
        dropout=0.0,
        attention_dropout=0.0,
        seq_classif_dropout=0.1,
        pad_token_id=tokenizer.pad_token_id,
        id2label=dict(enumerate(recipe.labels)),
        label2id={name: i for i, name in enumerate(recipe.labels)},
    )
    model = DistilBertForSequenceClassification(config)
    # Positions that no training text reaches stay neutral instead of adding noise to long texts.
    torch.nn.init.zeros_(model.distilbert.embeddings.position_embeddings.weight)
    return model


def begin(texts: list[str], recipe: Recipe) -> tuple[Any, Any]:
    """Make a tokenizer and a model, or take up those of a checkpoint to train on from."""
    torch.manual_seed(recipe.seed)
    if not recipe.start:
        tokenizer = learn_pieces(texts, recipe)
        return tokenizer, new_model(tokenizer, recipe)
    tokenizer = AutoTokenizer.from_pretrained(recipe.start)
    return tokenizer, AutoModelForSequenceClassification.from_pretrained(recipe.start, dtype=torch.float32)


def loss_of(logits: torch.Tensor, rows: pd.DataFrame, recipe: Recipe) -> torch.Tensor:
    """Mix the loss of the plain labels with that of the teacher's, each row as far as it has them."""
    gold = torch.tensor(rows["label"].to_numpy())
    has_soft = rows["soft"].notna().to_numpy()
    soft = torch.zeros_like(logits)
    if has_soft.any():
        soft[torch.tensor(has_soft)] = torch.tensor(np.stack(rows["soft"][has_soft].tolist()))
    share = torch.tensor(np.where(has_soft, np.where(rows["label"] < 0, 1.0, recipe.soft_share), 0.0))
    hard_loss = functional.cross_entropy(logits, gold.clamp(min=0), reduction="none")
    heat = recipe.temperature
    soft_loss = functional.cross_entropy(logits / heat, (soft / heat).softmax(-1), reduction="none") * heat**2
    losses = share * soft_loss + (1 - share) * hard_loss
    return (losses * torch.tensor(rows["weight"].to_numpy())).mean()


def inputs_of(tokenizer: Any, ids: list[list[int]], hide: float) -> dict[str, torch.Tensor]:
    """Pad a batch and hide a share of its pieces."""
    inputs = dict(tokenizer.pad({"input_ids": ids}, return_tensors="pt"))
    hidden = torch.rand(inputs["input_ids"].shape) < hide
    hidden &= inputs["input_ids"] >= len(SPECIAL)
    inputs["input_ids"].masked_fill_(hidden, tokenizer.mask_token_id)
    return inputs


def fit(model: Any, tokenizer: Any, rows: pd.DataFrame, recipe: Recipe) -> None:
    """Train the model on batches of like length, with one cycle of the learning rate."""
    ids = tokenizer(rows["text"].tolist(), truncation=True, max_length=recipe.max_tokens)["input_ids"]
    lengths = [len(row) for row in ids]
    plan = [group for e in range(recipe.epochs) for group in batches(lengths, recipe.batch_tokens, recipe.seed + e)]
    say(f"{len(rows):,} rows, {sum(lengths):,} tokens an epoch, {len(plan):,} steps")
    optimizer = torch.optim.AdamW(model.parameters(), recipe.peak_rate, weight_decay=0.01, fused=True)
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.peak_rate, total_steps=len(plan) + 1, pct_start=0.1
    )
    model.train()
    losses: list[float] = []
    for step, group in enumerate(plan, 1):
        loss = loss_of(
            model(**inputs_of(tokenizer, [ids[i] for i in group], recipe.hide)).logits,
            rows.iloc[group],
            recipe,
        )
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        cycle.step()
        losses.append(loss.item())
        if step % REPORT_EVERY == 0 or step == len(plan):
            say(f"step {step:,} of {len(plan):,}, loss {np.mean(losses[-REPORT_EVERY:]):.4f}")
