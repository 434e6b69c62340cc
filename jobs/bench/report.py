"""The figures of a benchmark, from the turns of all contenders."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from jobs.bench.contenders.task import torch_precision
from jobs.bench.flops import peak_flops, useful_flops
from pipeline_lib.engines.batching import micro_batches
from pipeline_lib.engines.computation import TOKENS_PER_BATCH

_PIPELINE = "pipeline, batch "


@dataclass(frozen=True)
class Round:
    """One contender's turn."""

    name: str
    number: int
    rows: int
    seconds: float
    """Start-up included."""
    loop_seconds: float
    """From the first text to the last answer."""
    peak_bytes: int
    answers: str

    @property
    def rate(self) -> float:
        """Rows per second; start-up counts for our whole job, and not for the other contenders."""
        return self.rows / (self.seconds if self.name == "our whole job" else self.loop_seconds)


def summed_up(rounds: Sequence[Round], plan: dict[str, Any], home: Path, machine: dict[str, Any]) -> dict[str, Any]:
    """Return all figures of a benchmark as plain JSON values."""
    lengths = {name: _lengths(plan["model"], home / f"{name}.parquet") for name in ("all", "peers")}
    peaks = peak_flops(plan["device"], torch_precision(plan["precision"]), plan["cpus"])
    best = {number: _best_pipeline(rounds, number) for number in range(plan["rounds"])}
    oracle = next((turn for turn in rounds if turn.name == f"{_PIPELINE}1"), None)
    contenders = []
    for name in dict.fromkeys(turn.name for turn in rounds):
        turns = [turn for turn in rounds if turn.name == name]
        here = lengths["all" if name.startswith("our") else "peers"]
        loop = median(turn.loop_seconds for turn in turns)
        ratios = [turn.rate / best[turn.number] for turn in turns if best[turn.number]]
        contenders.append(
            {
                "name": name,
                "rows": turns[0].rows,
                "rows_per_second": median(turn.rate for turn in turns),
                "rows_per_second_loop": turns[0].rows / loop,
                "tokens_per_second_loop": float(here.sum()) / loop,
                "share_of_peak_loop": useful_flops(plan["model"], here) / loop / max(peaks.values()),
                "padding": _padding(name, here, plan),
                "ratio": median(ratios) if ratios else None,
                "ratio_spread": [min(ratios), max(ratios)] if ratios else None,
                "peak_bytes": max(turn.peak_bytes for turn in turns),
                **(_apart(turns[0], oracle) if oracle else {}),
                "turns": [
                    {key: value for key, value in asdict(turn).items() if key != "answers"} for turn in turns
                ],
            }
        )
    metrics = [json.loads(path.read_text()) for path in sorted(home.glob("*.metrics.json"))]
    return {
        "plan": plan,
        "machine": machine,
        "tokens": {"mean": float(lengths["all"].mean()), "most": int(lengths["all"].max())},
        "peak_flops": peaks,
        "contenders": contenders,
        "job_metrics": metrics,
    }


def _best_pipeline(rounds: Sequence[Round], number: int) -> float:
    return max(
        (turn.rate for turn in rounds if turn.number == number and turn.name.startswith(_PIPELINE)), default=0
    )


def _apart(turn: Round, oracle: Round) -> dict[str, Any]:
    """Return how far answers are from the pipeline's at batch size 1, over the rows that both have."""
    found, right = ({row["at"]: row for row in pq.read_table(each.answers).to_pylist()} for each in (turn, oracle))
    both = sorted(found.keys() & right.keys())
    apart = [
        abs(found[at]["score"] - right[at]["score"]) for at in both if found[at]["label"] == right[at]["label"]
    ]
    return {"compared": len(both), "worst_difference": max(apart, default=0.0), "flips": len(both) - len(apart)}


def _lengths(model: str, texts: Path) -> NDArray[np.int64]:
    from transformers import AutoConfig, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    positions = getattr(AutoConfig.from_pretrained(model), "max_position_embeddings", None)
    limit = min(tokenizer.model_max_length, positions or math.inf)
    options = {"truncation": True, "max_length": int(limit)} if limit < 1 << 30 else {}
    found = tokenizer(pq.read_table(texts, columns=["text"]).column(0).to_pylist(), verbose=False, **options)
    return np.array([len(ids) for ids in found["input_ids"]], np.int64)


def _padding(name: str, lengths: NDArray[np.int64], plan: dict[str, Any]) -> float:
    """Return the tokens that a contender computes for each real one, by the way it makes its batches."""
    if name.startswith("our"):
        if plan["device"] == "cuda" and plan["precision"] != "float32":
            return 1.0  # rows are packed end to end
        batches = list(micro_batches(lengths.astype(np.int32), TOKENS_PER_BATCH[plan["device"]]))
    else:
        batch = {"CrossEncoder": 32, "Spark": 32}.get(
            name, int(name.removeprefix(_PIPELINE)) if _PIPELINE in name else 1
        )
        order = np.argsort(-lengths, kind="stable") if name == "CrossEncoder" else np.arange(len(lengths))
        batches = [order[at : at + batch] for at in range(0, len(order), batch)]
    return float(sum(len(rows) * lengths[rows].max() for rows in batches) / lengths.sum())
