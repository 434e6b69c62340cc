"""Settings of several models over one reading, runs of them, and what their results must be."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from rich.console import Console

from pipeline_lib import pipeline
from pipeline_lib.execution.executor import Executor
from pipeline_lib.execution.local_executor import LocalExecutor
from pipeline_lib.reporting.attempt import Attempt
from pipeline_lib.reporting.outcome import Outcome
from pipeline_lib.reporting.records.attempts import Attempts
from pipeline_lib.reporting.terminal.progress import Progress
from pipeline_lib.settings.settings_file import Jobs
from tests.conftest import read_output, run_without_ray, write_parquet
from tests.helpers.checkpoints import tiny_checkpoints as tiny
from tests.helpers.checkpoints.tiny_checkpoints import ADVERSARIAL_TEXTS

TEXTS = [*ADVERSARIAL_TEXTS, *(f"a good day, number {number} " * (number % 30) for number in range(60))]
TOLERANCE = 1e-5


def write_shards(folder: Path) -> Path:
    """Write a Parquet and a CSV shard, with rows that are rejected when they are read."""
    texts: list[str | None] = [*TEXTS[:40], None, *TEXTS[40:]]
    write_parquet(folder / "in" / "a.parquet", {"id": [str(row) for row in range(len(texts))], "text": texts})
    lines = [f'b{row},"{row} is a fine number"' for row in range(70)]
    (folder / "in" / "b.csv").write_text("\n".join(["id,text", *lines, "b70,too,many"]) + "\n")
    return folder / "in"


def sections_of(folder: Path, models: Mapping[str, Any], **others: Any) -> dict[str, Any]:
    entries = [
        {"as": name, **(given if isinstance(given, Mapping) else {"name": str(given)})}
        for name, given in models.items()
    ]
    return {
        "models": entries,
        "input": {"path": str(folder / "in")},
        "output": {"path": str(folder / "out"), "scores": "all"},
        "tuning": {"rows_per_slice": 32, "model_actors": 1},
        "limits": {"max_reject_rate": 0.5},
        **others,
    }


def config_of(folder: Path, models: Mapping[str, Any], **others: Any) -> Path:
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump(sections_of(folder, models, **others)))
    return path


def run_models(jobs: Jobs, executor: Executor | None = None) -> dict[str, Outcome]:
    """Run the jobs of several models together; return how each ended."""
    attempts = [Attempt(model=name) for name in jobs]
    progress = Progress(Console(quiet=True), is_one_night=False)
    together = {name: pipeline.Job(settings) for name, settings in jobs.items()}
    pipeline.run_together(together, Attempts(attempts), progress, executor or LocalExecutor())
    return {attempt.model: attempt.outcome for attempt in attempts if attempt.outcome}


def files(folder: Path) -> dict[str, str]:
    """Return the hash of every file of scored rows and of rejects."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("part-*.parquet"))
    }


def assert_as_alone(jobs: Jobs, folder: Path) -> None:
    """Check that each result has the very bytes of a job with these settings that runs alone."""
    for name, settings in jobs.items():
        output = settings.output.model_copy(update={"path": str(folder / "alone" / name)})
        outcome = run_without_ray(settings.model_copy(update={"output": output}))
        assert files(folder / "out" / name) == files(folder / "alone" / name) != {}
        assert json.loads((folder / "out" / name / "_SUCCESS").read_text())["version"] == outcome.version


def assert_oracle(folder: Path, name: str, checkpoint: Path) -> None:
    """Check labels and scores of a model against the pipeline at batch size 1."""
    rows = read_output(folder / "out" / name).to_pylist()
    shard = pq.read_table(folder / "in" / "a.parquet").to_pylist()
    text_of = {row["id"]: row["text"] for row in shard}
    scored = [row for row in rows if row["id"] in text_of]
    assert len(scored) > len(TEXTS) // 2
    answers = tiny.oracle(checkpoint, [text_of[row["id"]] for row in scored], 64)
    for row, answer in zip(scored, answers, strict=True):
        assert row[f"{name}_label"] == answer.label
        assert row[f"{name}_score"] == pytest.approx(answer.score, abs=TOLERANCE)
        assert row[f"{name}_n_tokens"] == answer.n_tokens


THREE = {"tone": "bert", "Mood2": "gpt2", "topic": "other"}


def three(checkpoints: Path) -> dict[str, Path]:
    return {name: checkpoints / folder for name, folder in THREE.items()}
