"""Describe the output of a run: where it is, its labels and rejects, and a command that shows it."""

import json
import os
import shlex
import shutil
import sys

from pipeline_lib.messages import count, shortened
from pipeline_lib.planning.plan import Plan
from pipeline_lib.publishing.night_statistics import NightStatistics
from pipeline_lib.reporting.outcome import Outcome
from pipeline_lib.reporting.terminal.examples import example_rows
from pipeline_lib.reporting.terminal.judgement import judgement_lines
from pipeline_lib.storage.records import REJECTS
from pipeline_lib.storage.urls import location_of

_BAR = 24
_MOST_LABELS = 8
_LONGEST_LABEL = 24


def summary(
    plan: Plan, outcome: Outcome, night: NightStatistics | None = None, *, pictures: bool = True
) -> list[tuple[str, str]]:
    """Return what a run published in words, as (topic, text) lines.

    Args:
        plan: the run's plan.
        outcome: how the run ended.
        night: what is counted of all its rows, if it is known.
        pictures: whether people read it: with a bar for each label, and rows as examples if the text is published.
    """
    output = plan.settings.output
    folder = short_path(output.path)
    names = ", ".join(shortened(name, 40) for name in plan.scored_schema.names)
    scored, files = count(outcome.scored, "row"), count(outcome.files, "file")
    lines = [("result", f"{folder}: {scored} in {files}, with {names}")]
    if pictures:
        lines += [("", line) for line in bars(outcome.labels or {})]
    lines += judgement_lines(night, plan) if night else []
    if pictures:
        rows = example_rows(plan)
        lines += [("" if at else "examples", row) for at, row in enumerate(rows)]
    lines.append(("open", _open_command(folder)))
    if outcome.rejected:
        why = ", ".join(f"{rows:,} {code}" for code, rows in (outcome.reject_codes or {}).items())
        where = f"{folder.rstrip('/')}/{REJECTS}"
        lines.append(("rejects", f"{count(outcome.rejected, 'row')}, by reason: {why or '?'}; each is in {where}"))
    return lines


def bars(counts: dict[str, int]) -> list[str]:
    """Return a bar of text for each name, the most frequent first."""
    total = sum(counts.values())
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = [(shortened(name, _LONGEST_LABEL), rows) for name, rows in ordered[:_MOST_LABELS]]
    if len(ordered) > _MOST_LABELS:
        rest = ordered[_MOST_LABELS:]
        shown.append((f"{count(len(rest), 'other label')}", sum(rows for _, rows in rest)))
    width = max((len(name) for name, _ in shown), default=0)
    digits = max((len(f"{rows:,}") for _, rows in shown), default=0)
    return [
        f"{name:<{width}}  {'█' * round(_BAR * rows / total):<{_BAR}}  {rows:>{digits},}  {rows / total:6.1%}"
        for name, rows in shown
    ]


def short_path(path: str) -> str:
    """Return a local path below the working folder as a relative one."""
    if not location_of(path).is_local:
        return path
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative


def _open_command(path: str) -> str:
    """Return a command that prints the rows of a folder, with the Python that runs this program."""
    python = shutil.which("python")
    # A virtual environment is recognised by the link, not by the file behind it.
    name = "python" if python and os.path.samefile(os.path.dirname(python), os.path.dirname(sys.executable)) else ""
    name = name or short_path(sys.executable)
    code = f"import pandas; print(pandas.read_parquet({json.dumps(path, ensure_ascii=False)}))"
    return f"{shlex.quote(name)} -c {shlex.quote(code)}"
