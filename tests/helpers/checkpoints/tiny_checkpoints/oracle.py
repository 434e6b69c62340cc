"""The oracle that every test compares with: the pipeline at batch size 1, in float32."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray


@dataclass(frozen=True)
class Answer:
    """What the pipeline says of one text."""

    label: str
    score: float
    scores: NDArray[np.float32]
    """By index of the label."""
    n_tokens: int
    """Before truncation."""


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


def hidden_states(folder: Path, texts: Sequence[str], max_tokens: int | None) -> list[NDArray[np.float32]]:
    """Return the last hidden state that `AutoModel` gives each text alone, of shape [tokens, width]."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    cut: dict[str, Any] = {"truncation": True, "max_length": max_tokens} if max_tokens else {}
    found = []
    with torch.inference_mode():
        for text in texts:
            inputs = dict(tokenizer(text, return_tensors="pt", **cut))
            kind = model.config.model_type
            if kind in {"mt5", "t5", "umt5"}:  # other encoder-decoders make this of the text themselves
                inputs["decoder_input_ids"] = model._shift_right(inputs["input_ids"])
            if kind == "longformer":  # as its classifier does
                inputs["global_attention_mask"] = torch.zeros_like(inputs["input_ids"])
                inputs["global_attention_mask"][:, 0] = 1
            found.append(np.asarray(model(**inputs).last_hidden_state[0].numpy(), np.float32))
    return found


def pooled(hidden: NDArray[np.float32], pooling: str) -> NDArray[np.float32]:
    """Return the embedding of hidden states of shape [tokens, width]."""
    found: NDArray[np.float32] = {"first": hidden[0], "last": hidden[-1], "mean": hidden.mean(0)}[pooling]
    return found


@dataclass(frozen=True)
class Cut:
    """How a text is cut into windows, and how their logits are joined."""

    limit: int
    stride: int
    join: str


def windows(folder: Path, text: str, cut: Cut) -> list[dict[str, list[int]]]:
    """Return the inputs of each window of a text, as the checkpoint's tokenizer cuts it."""
    return _windows(transformers.AutoTokenizer.from_pretrained(folder), text, cut)


def joined_logits(folder: Path, texts: Sequence[str], cut: Cut) -> list[tuple[NDArray[np.float64], int]]:
    """Return the logits of each text, from the pipeline's model on one window at a time, and how many there are."""
    pipe = transformers.pipeline("text-classification", str(folder), dtype=torch.float32, device="cpu")
    found = []
    for text in texts:
        cuts = _windows(pipe.tokenizer, text, cut)
        with torch.inference_mode():
            answers = [
                pipe.model(**{key: torch.tensor([ids]) for key, ids in each.items()}).logits[0].double().numpy()
                for each in cuts
            ]
        found.append((join(answers, [len(each["input_ids"]) for each in cuts], cut), len(cuts)))
    return found


def _windows(tokenizer: Any, text: str, cut: Cut) -> list[dict[str, list[int]]]:
    found = tokenizer(
        text, truncation=True, max_length=cut.limit, stride=cut.stride, return_overflowing_tokens=True
    )
    return [
        {name: found[name][at] for name in tokenizer.model_input_names} for at in range(len(found["input_ids"]))
    ]


def join(values: Sequence[NDArray[Any]], tokens: Sequence[int], cut: Cut) -> NDArray[np.float64]:
    """Return the values of windows together: the largest, or the mean weighted by tokens."""
    stacked = np.array(values, np.float64)
    weights = np.array(tokens) / sum(tokens)
    return np.asarray(stacked.max(0) if cut.join == "max" else weights @ stacked, np.float64)
