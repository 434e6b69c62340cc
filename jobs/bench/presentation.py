"""The figures of a benchmark as a table and as a chart."""

from pathlib import Path
from typing import Any

from jobs.bench.contenders.task import torch_precision
from pipeline_lib.messages import count, size

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


def tables(figures: dict[str, Any]) -> str:
    """Return the figures as a Markdown table, with a paragraph about the machine."""
    plan, machine = figures["plan"], figures["machine"]
    lines = [f"| {' | '.join(_COLUMNS)} |", "|" + " --- |" * len(_COLUMNS)]
    for entry in sorted(figures["contenders"], key=lambda entry: entry["rows_per_second"]):
        ratio = f"{entry['ratio']:.2f}" if entry["ratio"] else ""
        if entry["ratio_spread"] and len(entry["turns"]) > 1:
            low, high = entry["ratio_spread"]
            ratio += f" ({low:.2f}-{high:.2f})"
        apart = f"{entry['worst_difference']:.1e}" if "worst_difference" in entry else ""
        flips = f"{entry['flips']} of {entry['compared']:,}" if "flips" in entry else ""
        cells = [
            entry["name"],
            f"{entry['rows_per_second']:,.0f}",
            ratio,
            f"{entry['rows_per_second_loop']:,.0f}",
            f"{entry['tokens_per_second_loop']:,.0f}",
            f"{entry['share_of_peak_loop']:.0%}",
            f"{entry['padding']:.2f}",
            size(entry["peak_bytes"]),
            apart,
            flips,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    peaks = ", ".join(f"{name} {rate / 1e9:,.0f}" for name, rate in figures["peak_flops"].items())
    versions = ", ".join(f"{name} {machine['libraries'][name]}" for name in _NAMED)
    return "\n".join(lines) + (
        f"\n\n{plan['rows']:,} texts ({plan['peer_rows']:,} of them, evenly drawn, for the alternatives), "
        f"{figures['tokens']['mean']:.0f} tokens on average, {_precision(plan)}, {count(plan['rounds'], 'round')} "
        "in turn. The rows/s of our whole job include its start-up, those of the alternatives do not"
        f"{_busy(figures)}. "
        f"{machine['gpu'] or machine['cpu']}, {plan['cpus']} CPUs, {machine['memory_gib']} GiB; one "
        f"large matrix product: {peaks} GFLOP/s. {versions}.{_startup(figures)}\n"
    )


def _precision(plan: dict[str, Any]) -> str:
    ours, theirs = plan["precision"], torch_precision(plan["precision"])
    return f"{ours}" if ours == theirs else f"{ours} (the alternatives in {theirs})"


def _startup(figures: dict[str, Any]) -> str:
    """Return a sentence with the seconds that the embedded sample and an empty job took."""
    if "startup" not in figures:
        return ""
    seconds = figures["startup"]
    return (
        f" The first rows of the embedded sample were written after {seconds['first']:.1f} s, all were published "
        f"after {seconds['published']:.1f} s; a Ray Data job that does nothing took {seconds['empty']:.1f} s."
    )


def _busy(figures: dict[str, Any]) -> str:
    """Return half a sentence with the share of time that each step of our last whole job was busy."""
    shares = figures["job_metrics"][-1]["busy"] if figures["job_metrics"] else {}
    shown = ", ".join(f"{stage} {share:.0%}" for stage, share in shares.items())
    return f"; while it scores, its steps are busy for {shown} of the time" if shown else ""


def chart(figures: dict[str, Any], path: Path) -> None:
    """Draw the rows per second of every contender, ours in another colour, if matplotlib is installed."""
    try:
        from matplotlib import pyplot as plt
    except ImportError:
        return
    contenders = sorted(figures["contenders"], key=lambda entry: entry["rows_per_second"])
    drawing, axes = plt.subplots(figsize=(8, 0.5 * len(contenders) + 1), layout="constrained")
    colours = ["#1a7f4b" if entry["name"].startswith("our") else "#9aa5b1" for entry in contenders]
    bars = axes.barh(
        [entry["name"] for entry in contenders], [entry["rows_per_second"] for entry in contenders], color=colours
    )
    axes.bar_label(bars, fmt="{:,.0f}", padding=3)
    axes.set_xlabel("rows a second")
    axes.spines[["top", "right"]].set_visible(False)
    drawing.savefig(path, metadata={"Date": None})
    plt.close(drawing)
