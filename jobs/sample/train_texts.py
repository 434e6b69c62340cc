"""Choose the texts that a small classifier is trained on: read, hold back, cut, balance."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

SENTENCE_END = re.compile(r"(?<=[.!?])\s+|<[^>]{1,20}>")  # markup ends a sentence, and goes


class TrainingError(Exception):
    """The given files, options or teacher cannot be trained with; the message says why."""


@dataclass(frozen=True)
class Mix:
    """Which texts are used, and who labels them; the command's options explain each field."""

    words: int | None = None
    balance: float = 0.0
    teacher: str | None = None
    sentences: int = 0
    teacher_tokens: int = 128
    seed: int = 0


def read_columns(path: Path, text_column: str, label_column: str) -> pd.DataFrame:
    """Read the two columns of a file as `text` and `label`."""
    try:
        missing = [name for name in (text_column, label_column) if name not in pq.read_schema(path).names]
        if missing:
            raise TrainingError(f"{path} has no column {' and no column '.join(missing)}")
        table = pq.read_table(path, columns=[text_column, label_column])
    except pa.ArrowInvalid as error:
        raise TrainingError(f"{path} is not a readable Parquet file: {error}") from error
    return pd.DataFrame({"text": table[text_column].to_pylist(), "label": table[label_column].to_pylist()})


def read(path: Path, text_column: str, label_column: str, classes: int) -> pd.DataFrame:
    """Read distinct, non-empty texts and their labels; -1 stands for no label."""
    frame = read_columns(path, text_column, label_column)
    frame = frame[frame["text"].map(lambda text: isinstance(text, str) and bool(text.strip()))]
    label = pd.to_numeric(frame["label"], errors="coerce").where(frame["label"].notna(), -1)
    unlabelled = frame["label"].isna()
    if not (unlabelled | label.isin(range(classes))).all():
        raise TrainingError(f"{path}: column {label_column} holds labels other than 0 to {classes - 1}")
    frame = frame.assign(label=label.astype(int), part=path.stem)
    return frame.drop_duplicates("text").reset_index(drop=True)


def plain(text: str) -> str:
    """Reduce a text to its words with single spaces, so that overlaps show whatever the layout."""
    return f" {' '.join(text.casefold().split())} "


def without_overlap(frame: pd.DataFrame, held: list[str]) -> pd.DataFrame:
    """Drop the texts that contain a held-back text or are a fragment of one."""
    held = sorted({plain(text) for text in held}, key=len)
    if not held:
        return frame
    everything = "\n".join(held)

    def overlaps(text: str) -> bool:
        words = plain(text)
        return words in everything or any(one in words for one in held if len(one) <= len(words))

    return frame[~frame["text"].map(overlaps)]


def cut_sentences(frame: pd.DataFrame, mix: Mix) -> pd.DataFrame:
    """Cut sentences of 3 to 60 words from texts; they leave the text's label behind.

    What is true of a review need not be of its parts. A text of one sentence is cut as well:
    it is then learned twice, once with its label and once from the teacher alone.
    """
    pieces = frame["text"].map(SENTENCE_END.split).explode().dropna().str.strip()
    lengths = pieces.str.count(r"\s+") + 1
    pieces = pieces[(lengths >= 3) & (lengths <= 60)].drop_duplicates()
    pieces = pieces.sample(min(mix.sentences, len(pieces)), random_state=mix.seed)
    return pd.DataFrame({"text": pieces, "label": -1, "part": frame["part"].loc[pieces.index] + ", sentences"})


def candidates(frames: list[pd.DataFrame], held: list[str], mix: Mix) -> pd.DataFrame:
    """Put together the files' texts and the sentences cut from them, without what was held back."""
    if mix.sentences:
        frames = frames + [cut_sentences(frame, mix) for frame in frames if len(frame)]
    return without_overlap(pd.concat(frames, ignore_index=True), held)


def balanced(frame: pd.DataFrame, mix: Mix) -> pd.DataFrame:
    """Cut frequent classes down to a multiple of the rarest, and weigh the classes alike."""
    counts = frame["side"].value_counts()
    most = int(mix.balance * counts.min()) if mix.balance else len(frame)
    kept = frame.sample(frac=1, random_state=mix.seed).groupby("side", sort=False).head(most)
    if mix.words:
        kept = kept[kept["text"].map(lambda text: len(text.split())).cumsum() <= mix.words]
    shares = kept["side"].map(kept["side"].value_counts()) * kept["side"].nunique() / len(kept)
    return kept.assign(weight=1 / shares if mix.balance else 1.0)


def chosen(rows: pd.DataFrame, mix: Mix) -> pd.DataFrame:
    """Keep the rows that somebody labelled, and balance them part by part."""
    rows = rows[(rows["label"] >= 0) | rows["soft"].notna()]
    if rows.empty:
        raise TrainingError("no row has a label, and there is no teacher to give one")
    best = rows["soft"].map(lambda soft: -1 if soft is None else int(np.argmax(soft)))
    rows = rows.assign(side=rows["label"].where(rows["label"] >= 0, best).astype(int))
    parts = [balanced(part, mix) for _, part in rows.groupby("part", sort=False)]
    return pd.concat(parts, ignore_index=True)
