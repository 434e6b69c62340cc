"""Train a small DistilBERT-shaped classifier on chosen texts."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.nn import functional
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DistilBertConfig,
    DistilBertForSequenceClassification,
)

from jobs.sample.train_teacher import REPORT_EVERY, batches, say
from jobs.sample.train_tokenizer import SPECIAL, learn_pieces


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
        tokenizer = learn_pieces(texts, recipe.vocabulary, recipe.positions)
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
