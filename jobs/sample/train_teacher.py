"""Score texts with a checkpoint: with the teacher before training, with the new model after it."""

import time

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from jobs.sample.train_texts import TrainingError

BATCH_TO_SCORE = 3072  # padded tokens; more spill from a CPU's cache
REPORT_EVERY = 200  # steps


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
