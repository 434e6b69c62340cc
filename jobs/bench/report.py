"""What the turns of a benchmark amount to: a table, a chart, and all figures."""

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

from jobs.bench.flops import peak_flops, useful_flops
from pipeline_lib.engines.batching import micro_batches
from pipeline_lib.messages import count, size
from pipeline_lib.planning.computation import TOKENS_PER_BATCH

_PIPELINE = "pipeline, batch "
_COLUMNS = (
    "contender",
    "rows/s",
    "vs the best pipeline",
    "rows/s, loop alone",
    "tokens/s",
    "of peak",
    "padding",
    "memory",
    "score difference",
    "flips",
)
_NAMED = ("torch", "transformers", "ray", "openvino")


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
        """Rows a second, start-up included for our job; the peers are spared it."""
        return self.rows / (self.seconds if self.name == "our whole job" else self.loop_seconds)


def summed_up(rounds: Sequence[Round], plan: dict[str, Any], home: Path, machine: dict[str, Any]) -> dict[str, Any]:
    """Return all figures of a benchmark as plain JSON values."""
    lengths = {name: _lengths(plan["model"], home / f"{name}.parquet") for name in ("all", "peers")}
    peaks = peak_flops(plan["device"], plan["precision"], plan["cpus"])
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


def described(figures: dict[str, Any]) -> str:
    """Return the figures as a Markdown table with a word on the machine."""
    plan, machine = figures["plan"], figures["machine"]
    lines = [f"| {' | '.join(_COLUMNS)} |", "|" + " --- |" * len(_COLUMNS)]
    for found in sorted(figures["contenders"], key=lambda found: found["rows_per_second"]):
        ratio = f"{found['ratio']:.2f}" if found["ratio"] else ""
        if found["ratio_spread"] and len(found["turns"]) > 1:
            low, high = found["ratio_spread"]
            ratio += f" ({low:.2f}-{high:.2f})"
        apart = f"{found['worst_difference']:.1e}" if "worst_difference" in found else ""
        flips = f"{found['flips']} of {found['compared']:,}" if "flips" in found else ""
        cells = [
            found["name"],
            f"{found['rows_per_second']:,.0f}",
            ratio,
            f"{found['rows_per_second_loop']:,.0f}",
            f"{found['tokens_per_second_loop']:,.0f}",
            f"{found['share_of_peak_loop']:.0%}",
            f"{found['padding']:.2f}",
            size(found["peak_bytes"]),
            apart,
            flips,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    peaks = ", ".join(f"{name} {rate / 1e9:,.0f}" for name, rate in figures["peak_flops"].items())
    versions = ", ".join(f"{name} {machine['libraries'][name]}" for name in _NAMED)
    return "\n".join(lines) + (
        f"\n\n{plan['rows']:,} texts ({plan['peer_rows']:,} of them, evenly drawn, for the peers), "
        f"{figures['tokens']['mean']:.0f} tokens on average, {plan['precision']}, {count(plan['rounds'], 'round')} "
        f"in turn. Our whole job's rows/s include its start-up, the peers' do not{_busy(figures)}. "
        f"{machine['gpu'] or machine['cpu']}, {plan['cpus']} CPUs, {machine['memory_gib']} GiB; one "
        f"large matrix product: {peaks} GFLOP/s. {versions}.{_startup(figures)}\n"
    )


def _startup(figures: dict[str, Any]) -> str:
    """Return how long the embedded sample took, and an empty job, in words."""
    if "startup" not in figures:
        return ""
    found = figures["startup"]
    return (
        f" The first rows of the embedded sample stood after {found['first']:.1f} s, all were published after "
        f"{found['published']:.1f} s; a Ray Data job that does nothing took {found['empty']:.1f} s."
    )


def _busy(figures: dict[str, Any]) -> str:
    """Return how busy the stages of our last whole job were, in words."""
    shares = figures["job_metrics"][-1]["busy"] if figures["job_metrics"] else {}
    told = ", ".join(f"{stage} {share:.0%}" for stage, share in shares.items())
    return f"; while it scores, its stages are at work {told} of the time" if told else ""


def draw(figures: dict[str, Any], path: Path) -> None:
    """Draw rows a second of every contender, ours in another colour; nothing without matplotlib."""
    try:
        from matplotlib import pyplot as plt
    except ImportError:
        return
    found = sorted(figures["contenders"], key=lambda found: found["rows_per_second"])
    chart, axes = plt.subplots(figsize=(8, 0.5 * len(found) + 1), layout="constrained")
    colours = ["#1a7f4b" if entry["name"].startswith("our") else "#9aa5b1" for entry in found]
    bars = axes.barh(
        [entry["name"] for entry in found], [entry["rows_per_second"] for entry in found], color=colours
    )
    axes.bar_label(bars, fmt="{:,.0f}", padding=3)
    axes.set_xlabel("rows a second")
    axes.spines[["top", "right"]].set_visible(False)
    chart.savefig(path, metadata={"Date": None})
    plt.close(chart)


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
