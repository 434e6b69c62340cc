"""Measure how many tokens a core gets from texts in a second, with the tokenizer's own calls and with ours.

python -m jobs.bench.tokenizing --input reviews.parquet --rows 20000

The kinds of tokenizers are WordPiece, that of a checkpoint, and byte-level BPE and Unigram, trained on some texts.
Their own calls are two, as transformers asks for them: all tokens of a text are counted, and long texts are cut.
"""

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from jobs.bench.inputs import checked_model, command, made_folder, texts_of
from jobs.bench.processes import machine

_TEXTS_AT_A_TIME = 1024
_TEXTS_TO_TRAIN = 2000
_PIECES = 20_000
_LIMIT = 512
_SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
_TEXTS_IN_A_LONG_ONE = 200
_COLUMNS = (
    *("tokenizer", "tokens", "own calls", "ours, first 1,024 texts", "ours, second half", "gain", "ids equal"),
    *("tokens of a long text", "own calls, ms", "ours, ms", "count_tokens: limit, ms"),
)


def tokenizing(
    inputs: Annotated[list[str] | None, typer.Option("--input", help="Shards. Default: generated reviews.")] = None,
    column: Annotated[str, typer.Option(help="Column with the texts.")] = "text",
    rows: Annotated[int, typer.Option(min=2, help="Texts.")] = 20_000,
    model: Annotated[Path, typer.Option(help="Checkpoint folder.")] = Path("configs/sample/model"),
    out: Annotated[Path, typer.Option(help="Folder for tokenizing.json and tokenizing.md.")] = Path("out/bench"),
) -> None:
    """Measure, print a table, and write it with all figures as JSON."""
    # One core: threads of the library would hide what a text costs.
    os.environ["TOKENIZERS_PARALLELISM"], os.environ["RAYON_NUM_THREADS"] = "false", "1"
    checked_model(str(model.resolve()), "float32")
    made_folder(out)
    texts = texts_of(rows, inputs, column)
    figures = {"machine": machine(), "kinds": list(_measured(texts, model))}
    table = table_of(figures)
    (out / "tokenizing.json").write_text(json.dumps(figures, indent=1) + "\n")
    (out / "tokenizing.md").write_text(table)
    print(table)


def _measured(texts: list[str], model: Path) -> Iterator[dict[str, Any]]:
    from transformers import AutoTokenizer

    made: dict[str, Callable[[], Any]] = {
        "WordPiece": lambda: AutoTokenizer.from_pretrained(model),
        "BPE": lambda: _byte_pairs(texts[:_TEXTS_TO_TRAIN]),
        "Unigram": lambda: _unigrams(texts[:_TEXTS_TO_TRAIN]),
    }
    for name, make in made.items():
        tokenizer = make()
        yield {"kind": name, **_costs(tokenizer, texts), **_costs_of_long_texts(tokenizer, texts)}


def _costs(tokenizer: Any, texts: list[str]) -> dict[str, Any]:
    import numpy as np

    from pipeline_lib.scoring.encoding.encoder import Encoder

    encoder = Encoder(tokenizer, _LIMIT, type_ids=False)
    batches = [texts[start : start + _TEXTS_AT_A_TIME] for start in range(0, len(texts), _TEXTS_AT_A_TIME)]
    ours, own, equal = [], [], True
    for batch in batches:
        began = time.process_time()
        found = encoder.encode([(text,) for text in batch])
        ended = time.process_time()
        ids, tokens = _own_calls(tokenizer, batch)
        ours.append((int(found.counts.sum()), ended - began))
        own.append((tokens, time.process_time() - ended))
        equal &= tokens == ours[-1][0] and np.array_equal(found.ids, np.concatenate(ids))
    return {
        "tokens": sum(tokens for tokens, _ in own),
        "own": _rate(own),
        "first": _rate(ours[:1]),
        "later": _rate(ours[len(ours) // 2 :]),
        "ours": _rate(ours),
        "equal": equal,
    }


def _costs_of_long_texts(tokenizer: Any, texts: list[str]) -> dict[str, float]:
    """Return the seconds for a long text of those that follow a first one."""
    from pipeline_lib.scoring.encoding.encoder import Encoder

    starts = range(0, len(texts), _TEXTS_IN_A_LONG_ONE)
    long = [" ".join(texts[start : start + _TEXTS_IN_A_LONG_ONE]) for start in starts]
    first, rest = long[0], long[1:] or long
    exact = Encoder(tokenizer, _LIMIT, type_ids=False)
    limit = Encoder(tokenizer, _LIMIT, type_ids=False, counts_all=False)
    ways: dict[str, Callable[[list[str]], Any]] = {
        "own": lambda some: _own_calls(tokenizer, some),
        "exact": lambda some: exact.encode([(text,) for text in some]),
        "limit": lambda some: limit.encode([(text,) for text in some]),
    }
    found = {"long_tokens": _own_calls(tokenizer, rest)[1] / len(rest)}
    for name, encode in ways.items():
        encode([first])
        began = time.process_time()
        encode(rest)
        found[f"long_{name}"] = (time.process_time() - began) / len(rest)
    return found


def _own_calls(tokenizer: Any, texts: list[str]) -> tuple[list[list[int]], int]:
    """Return the ids of texts, cut where they are too long, and the number of their tokens before that."""
    options = {"padding": False, "return_attention_mask": False, "verbose": False}
    ids = tokenizer(texts, **options)["input_ids"]
    tokens = sum(map(len, ids))
    long = [row for row, each in enumerate(ids) if len(each) > _LIMIT]
    if long:
        cut = tokenizer([texts[row] for row in long], truncation=True, max_length=_LIMIT, **options)["input_ids"]
        for row, shortened in zip(long, cut, strict=True):
            ids[row] = shortened
    return ids, tokens


def _rate(measured: Sequence[tuple[int, float]]) -> float:
    """Return tokens a second."""
    return sum(tokens for tokens, _ in measured) / sum(seconds for _, seconds in measured)


def _byte_pairs(texts: list[str]) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer, alphabet = Tokenizer(models.BPE()), pre_tokenizers.ByteLevel.alphabet()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=_PIECES, special_tokens=[*_SPECIAL], initial_alphabet=alphabet, show_progress=False
    )
    return _trained(tokenizer, texts, trainer)


def _unigrams(texts: list[str]) -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.NFKC(), pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=_PIECES, special_tokens=[*_SPECIAL], unk_token=_SPECIAL[-1], show_progress=False
    )
    return _trained(tokenizer, texts, trainer)


def _trained(tokenizer: Any, texts: list[str], trainer: Any) -> Any:
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    tokenizer.train_from_iterator(texts, trainer)
    special = [(name, tokenizer.token_to_id(name)) for name in ("<s>", "</s>")]
    tokenizer.post_processor = processors.TemplateProcessing("<s> $0 </s>", special_tokens=special)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def table_of(figures: dict[str, Any]) -> str:
    """Return the figures as a Markdown table, in tokens a second of one core, and a line about the machine."""
    rows: list[Sequence[str]] = [_COLUMNS, ["---"] * len(_COLUMNS)]
    for entry in figures["kinds"]:
        rates = [f"{entry[name]:,.0f}" for name in ("own", "first", "later")]
        gain = f"{entry['later'] / entry['own']:.1f} times"
        long = [f"{entry[f'long_{name}'] * 1e3:.1f}" for name in ("own", "exact", "limit")]
        equal = "yes" if entry["equal"] else "NO"
        rows.append(
            [entry["kind"], f"{entry['tokens']:,}", *rates, gain, equal, f"{entry['long_tokens']:,.0f}", *long]
        )
    here = figures["machine"]
    lines = "".join(f"| {' | '.join(cells)} |\n" for cells in rows)
    return f"{lines}\nTokens a second of CPU time on one core of {here['cpu']}.\n"


if __name__ == "__main__":
    command(tokenizing)
