"""The figures of a benchmark as a table and as a chart."""

from pathlib import Path
from typing import Any

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


def chart(figures: dict[str, Any], path: Path) -> None:
    """Draw rows a second of every contender, ours in another colour; nothing without matplotlib."""
    try:
        from matplotlib import pyplot as plt
    except ImportError:
        return
    found = sorted(figures["contenders"], key=lambda found: found["rows_per_second"])
    drawing, axes = plt.subplots(figsize=(8, 0.5 * len(found) + 1), layout="constrained")
    colours = ["#1a7f4b" if entry["name"].startswith("our") else "#9aa5b1" for entry in found]
    bars = axes.barh(
        [entry["name"] for entry in found], [entry["rows_per_second"] for entry in found], color=colours
    )
    axes.bar_label(bars, fmt="{:,.0f}", padding=3)
    axes.set_xlabel("rows a second")
    axes.spines[["top", "right"]].set_visible(False)
    drawing.savefig(path, metadata={"Date": None})
    plt.close(drawing)
