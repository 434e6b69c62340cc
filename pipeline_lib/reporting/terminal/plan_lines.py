"""A plan in words: what is scored, by which model and on which devices, and what the user should know of it."""

import os
import shlex
from collections.abc import Sequence

import yaml

from pipeline_lib.engines.torch_engine import gpu_names
from pipeline_lib.messages import count, shortened
from pipeline_lib.planning.plan import Plan

_MOST_NAMES = 6
_LONGEST_NAME = 40
_LONGEST_HINT = 200


def plan_lines(plan: Plan) -> list[tuple[str, str]]:
    """Return a plan in words, as (topic, text) lines."""
    model, settings = plan.checkpoint, plan.settings
    slices, done = plan.slices, plan.slices - len(plan.todo)
    reused = f", {done:,} already scored" if done else ""
    limit = f"{model.max_tokens:,} tokens" if model.max_tokens else "texts of any length"
    limit = f"windows of {limit} that share {model.windows.stride:,}" if model.windows else f"up to {limit}"
    labels = _named(model.labels)
    how = f"{settings.model.precision} by {plan.computation.engine}"
    commit = f" at {model.commit[:12]}" if model.commit else ""
    return [
        (
            "input",
            f"{count(len(plan.shards), 'shard')}, {count(plan.rows, 'row')}, {count(slices, 'slice')}{reused}",
        ),
        ("model", f"{model.name}{commit} ({model.architecture}), {how}, {limit}"),
        ("labels", f"{labels} ({model.activation})"),
        *_columns(plan),
        ("output", f"{settings.output.path} (version {plan.version})"),
        *(("note", text) for text in plan.notices),
        *(("note", f"replaces version {old} once all of this one is staged") for old in [plan.replaced] if old),
        *(
            ("note", f"the scores of {count(reused, 'slice')} are taken over: only kept columns differ")
            for reused in [len(plan.reusable)]
            if reused
        ),
        *(("note", f"{name} does not verify; it is set aside and made again") for name in plan.damaged_files),
        *(("note", f"{name} is none of this job's files; it is set aside") for name in plan.foreign_files),
    ]


def _columns(plan: Plan) -> list[tuple[str, str]]:
    """Return which columns are scored and kept, and the setting that would keep the text where it is not."""
    given = plan.settings.input
    texts = [name for name in (given.text_column, given.text_pair_column) if name]
    kept = [name for name, _ in plan.output_schema.kept]
    lines = [
        ("columns", f"{_named(texts)} {'is' if len(texts) == 1 else 'are'} scored; kept: {_named(kept) or 'none'}")
    ]
    lost = [name for name in texts if name not in kept]
    if lost:
        wanted = yaml.safe_dump([*kept, *lost], default_flow_style=True, allow_unicode=True, width=10_000).strip()
        how = shlex.quote(f"input.keep_columns={wanted}")
        how = (
            f"with --set {how}"
            if len(how) <= _LONGEST_HINT
            else "by naming it with the others in input.keep_columns"
        )
        lines.append(("", f"{_named(lost)} will not be in the output; keep it {how}"))
    return lines


def _named(names: Sequence[str]) -> str:
    """Return the first of many names, each cut to a length that fits a terminal."""
    shown = ", ".join(shortened(name, _LONGEST_NAME) for name in names[:_MOST_NAMES])
    return shown + (f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else "")


def devices() -> str:
    """Return the devices of this machine in words, or which cluster is used."""
    here = f"{count(os.cpu_count() or 1, 'CPU')} and {', '.join(gpu_names()) or 'no GPU'} here"
    address = os.environ.get("RAY_ADDRESS")
    return f"the cluster at {address}" if address not in (None, "", "local", "auto") else here
