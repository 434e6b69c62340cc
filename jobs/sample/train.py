"""Train a small text classifier from scratch, alone or taught by a bigger checkpoint."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from jobs.sample.train_model import Recipe, begin, fit
from jobs.sample.train_teacher import check_labels, logits_of, say, taught
from jobs.sample.train_texts import Mix, TrainingError, candidates, chosen, plain, read

CARD = """\
---
language: en
license: apache-2.0
library_name: transformers
pipeline_tag: text-classification
---
# {name}

A DistilBERT-shaped classifier of {size:,} parameters, trained from scratch with `python -m jobs.sample.train`.
Labels: {labels}.

## Measured

| file | rows | accuracy | mean of the classes' accuracies | most frequent class |
| --- | --- | --- | --- | --- |
{measured}

## Settings

| setting | value |
| --- | --- |
{settings}
"""


def save(model: Any, tokenizer: Any, out: Path) -> None:
    """Write half-precision weights that load as float32: half the size, and no surprise on a CPU."""
    out.mkdir(parents=True, exist_ok=True)
    model.half().save_pretrained(out)
    tokenizer.save_pretrained(out)
    edit(out / "config.json", dtype="float32")  # what from_pretrained loads the weights as
    edit(out / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")  # known to older releases


def edit(path: Path, **changes: str) -> None:
    """Set fields of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes, indent=2) + "\n")


def measured(out: Path, path: Path, frame: pd.DataFrame, limit: int) -> str:
    """Score the labelled rows of a file with the saved checkpoint: a row of the card's table."""
    frame = frame[frame["label"] >= 0]
    if frame.empty:
        return f"| {path.stem} | 0 | | | |"
    right = logits_of(str(out), frame["text"].tolist(), limit).argmax(-1) == frame["label"]
    by_class = right.groupby(frame["label"]).mean()
    most = frame["label"].value_counts(normalize=True).max()
    return f"| {path.stem} | {len(frame):,} | {right.mean():.4f} | {by_class.mean():.4f} | {most:.4f} |"


def write_card(out: Path, size: int, settings: dict[str, Any], table: list[str]) -> None:
    """Write the model card: the settings and the measured figures."""
    for name in ("teacher", "start"):
        settings[name] = Path(settings[name] or "none").name  # the card must not reveal local paths
    card = CARD.format(
        name=out.resolve().name,
        size=size,
        labels=", ".join(settings["labels"]),
        measured="\n".join(table) or "| none | | | | |",
        settings="\n".join(f"| {name} | {value} |" for name, value in settings.items()),
    )
    (out / "README.md").write_text(card)


def run(files: list[dict[Path, pd.DataFrame]], mix: Mix, recipe: Recipe, out: Path) -> None:
    """Choose the texts, train on them, save, and measure what was saved."""
    train, evaluate, held_back = files
    checks = evaluate | held_back
    unseen = {plain(text) for frame in checks.values() for text in frame["text"]}
    frames = [frame[~frame["text"].map(plain).isin(unseen)] for frame in train.values()]
    held = [text for frame in held_back.values() for text in frame["text"]]
    rows = chosen(taught(candidates(frames, held, mix), mix.teacher, mix.teacher_tokens), mix)
    for part, sides in rows.groupby("part", sort=False)["side"]:
        counts = [f"{(sides == i).sum():,} {name}" for i, name in enumerate(recipe.labels)]
        say(f"{part}: {', '.join(counts)}")
    tokenizer, model = begin(rows["text"].tolist(), recipe)
    fit(model, tokenizer, rows, recipe)
    save(model, tokenizer, out)
    table = [measured(out, path, frame, recipe.max_tokens) for path, frame in checks.items()]
    write_card(out, model.num_parameters(), asdict(recipe) | asdict(mix), table)
    print("\n".join(table))
    say(f"wrote {out}")


def check(mix: Mix, recipe: Recipe) -> None:
    """Fail on options that do not fit together before anything is read."""
    if recipe.width % recipe.heads:
        raise TrainingError(f"{recipe.heads} heads do not divide a width of {recipe.width}")
    if recipe.max_tokens > recipe.positions:
        raise TrainingError(f"{recipe.max_tokens} tokens do not fit {recipe.positions} positions")
    if mix.sentences and not mix.teacher:
        raise TrainingError("cut sentences have no labels of their own: --sentences needs a --teacher")
    for checkpoint in (mix.teacher, recipe.start):
        if checkpoint:
            check_labels(checkpoint, len(recipe.labels))


def option(text: str, panel: str, *name: str, **limits: Any) -> Any:
    """Describe an option, in its panel of the help."""
    return typer.Option(*name, help=text, rich_help_panel=panel, **limits)


FILE: dict[str, Any] = {"exists": True, "dir_okay": False}


def main(  # noqa: PLR0913, PLR0917 - each option is an argument to typer
    train: Annotated[list[Path], option("Parquet file to learn from; may be repeated.", "Texts", **FILE)],
    out: Annotated[Path, option("Folder that gets the checkpoint.", "Texts", file_okay=False)],
    evaluate: Annotated[
        list[Path] | None,
        option("File to measure on; its texts leave training.", "Texts", "--eval", **FILE),
    ] = None,
    held_back: Annotated[
        list[Path] | None,
        option("As --eval; fragments of its texts, and texts that contain one, leave too.", "Texts", **FILE),
    ] = None,
    text_column: Annotated[str, option("Column of the texts.", "Texts")] = "text",
    label_column: Annotated[
        str, option("Column of the labels, 0 to n-1; null: for the teacher.", "Texts")
    ] = "label",
    labels: Annotated[str, option("Names of the labels, in order.", "Texts")] = "NEGATIVE,POSITIVE",
    words: Annotated[int | None, option("Most words to take from a file.", "Texts", min=1)] = None,
    balance: Annotated[
        float,
        option("In each file, cut classes to so many times the rarest; weigh them alike.", "Texts", min=0),
    ] = 0.0,
    teacher: Annotated[
        str | None, option("Checkpoint (folder or hub name) whose scores are learned too.", "Teacher")
    ] = None,
    sentences: Annotated[
        int, option("Most sentences to cut from a file besides, for the teacher to label.", "Teacher", min=0)
    ] = 0,
    teacher_tokens: Annotated[
        int, option("Texts that look longer are learned from their labels alone.", "Teacher", min=8)
    ] = 128,
    temperature: Annotated[float, option("Softens the teacher's scores.", "Teacher", min=0.1)] = 2.0,
    soft_share: Annotated[
        float, option("The teacher's share in the loss where a row has a label too.", "Teacher", min=0, max=1)
    ] = 0.5,
    vocabulary: Annotated[int, option("Most WordPieces.", "Model", min=50)] = 8000,
    layers: Annotated[int, option("Transformer layers.", "Model", min=1)] = 3,
    width: Annotated[int, option("Width of the model.", "Model", min=2)] = 192,
    heads: Annotated[int, option("Attention heads; must divide the width.", "Model", min=1)] = 4,
    inner: Annotated[int, option("Width of the feed-forward part.", "Model", min=1)] = 512,
    positions: Annotated[int, option("Longest input that the model can take.", "Model", min=8)] = 512,
    max_tokens: Annotated[int, option("Cut longer texts in training.", "Training", min=8)] = 512,
    start: Annotated[
        str | None, option("Checkpoint to train on from; its shape and WordPieces hold.", "Training")
    ] = None,
    hide: Annotated[float, option("Share of the pieces hidden in training.", "Training", min=0, max=1)] = 0.1,
    epochs: Annotated[int, option("Passes over the rows.", "Training", min=1)] = 4,
    batch_tokens: Annotated[int, option("Tokens in a batch, padding included.", "Training", min=64)] = 4096,
    peak_rate: Annotated[float, option("Highest learning rate.", "Training", min=0)] = 1e-3,
    seed: Annotated[int, option("Same seed, machine and thread count: same checkpoint.", "Training")] = 0,
) -> None:
    """Train a small DistilBERT-shaped classifier and its WordPieces on Parquet files of texts and labels."""
    names = [name.strip() for name in labels.split(",")]
    mix = Mix(
        words=words,
        balance=balance,
        teacher=teacher,
        sentences=sentences,
        teacher_tokens=teacher_tokens,
        seed=seed,
    )
    recipe = Recipe(
        labels=names,
        max_tokens=max_tokens,
        temperature=temperature,
        soft_share=soft_share,
        vocabulary=vocabulary,
        layers=layers,
        width=width,
        heads=heads,
        inner=inner,
        positions=positions,
        start=start,
        hide=hide,
        epochs=epochs,
        batch_tokens=batch_tokens,
        peak_rate=peak_rate,
        seed=seed,
    )
    try:
        check(mix, recipe)
        files = [
            {path: read(path, text_column, label_column, len(names)) for path in paths or []}
            for paths in (train, evaluate, held_back)
        ]
        run(files, mix, recipe, out)
    except TrainingError as error:
        raise typer.BadParameter(str(error)) from error


if __name__ == "__main__":
    typer.run(main)
