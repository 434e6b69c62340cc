"""The steps of several plans in one process: what is done once for all, and whom an error ends."""

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline_lib.errors import NightscoreError
from pipeline_lib.execution.nights.plan_flows import PlanFlows, shared_steps
from pipeline_lib.execution.nights.slices_left import SlicesLeft
from pipeline_lib.execution.steps import Steps, receipt_of
from pipeline_lib.execution.worker import SilentMonitor, Worker
from pipeline_lib.inputs.shard_inspection import SeenInput
from pipeline_lib.inputs.shards import Slice
from pipeline_lib.planning.discovery import discover
from pipeline_lib.planning.night_plans import make_plans
from pipeline_lib.planning.plan import Plan
from pipeline_lib.settings.settings_file import parse_jobs
from tests.conftest import write_parquet
from tests.helpers.checkpoints import tiny_checkpoints as tiny
from tests.helpers.checkpoints.tiny_checkpoints import Recipe

SLICES, PER_SLICE = 5, 8
Models = dict[str, dict[str, Any]]


class CountingMonitor(SilentMonitor):
    """Counts what each stage does."""

    def __init__(self) -> None:
        super().__init__()
        self.worked: Counter[str] = Counter()
        self.loads = 0

    def loaded_model(self) -> None:
        """Count that a model was loaded."""
        self.loads += 1

    @contextlib.contextmanager
    def working(self, role: str, part: Slice) -> Iterator[None]:
        """Count a slice of a stage."""
        del part
        self.worked[role] += 1
        yield


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> Models:
    """Four models: two have the same files, one has the same tokenizer and other weights, one another tokenizer."""
    folder = tmp_path_factory.mktemp("models")
    other = tiny.build(Recipe("bert", seed=9), folder / "other")
    gpt2 = tiny.build(Recipe("gpt2"), folder / "gpt2")
    named = {"tone": checkpoint, "half": checkpoint, "mood": other, "topic": gpt2}
    return {name: {"as": name, "name": str(path)} for name, path in named.items()}


def plans_of(folder: Path, models: Sequence[dict[str, Any]]) -> list[Plan]:
    write_parquet(folder / "in" / "a.parquet", {"text": ["good", "so bad"] * (SLICES * PER_SLICE // 2)})
    sections = {
        "models": list(models),
        "input": {"path": str(folder / "in")},
        "output": {"path": str(folder / "out")},
        "tuning": {"rows_per_slice": PER_SLICE},
    }
    seen = SeenInput()
    discoveries = [discover(settings, seen=seen) for settings in parse_jobs(sections).values()]
    return [plan for plan in make_plans(discoveries, lambda _: "cpu", lambda *_: False) if isinstance(plan, Plan)]


def test_slices_are_read_once_and_tokenized_once_for_each_tokenizer(tmp_path: Path, models: Models) -> None:
    half = {**models["half"], "precision": "bfloat16"}
    plans = plans_of(tmp_path, [models["tone"], half, models["mood"], models["topic"]])
    parts = [part for some in SlicesLeft(plans).parts().values() for part in some]
    assert [part.plans for part in parts] == [[0, 1, 2, 3]] * SLICES
    monitor = CountingMonitor()
    flows = PlanFlows(shared_steps(Steps()), plans.__getitem__, Worker("w", "here", 1, 1.0, monitor), 4)
    receipts = [(own.night, receipt_of(table)) for part in parts for own, table in flows(part)]
    assert Counter(night for night, _ in receipts) == dict.fromkeys(range(4), SLICES)
    assert {receipt.version for _, receipt in receipts} == {plan.version for plan in plans}
    assert monitor.worked == {
        "reader": SLICES,
        "tokenizer": 2 * SLICES,
        "model": 4 * SLICES,
        "writer": 4 * SLICES,
    }
    assert monitor.loads == 4


def test_texts_of_another_limit_are_tokenized_apart(tmp_path: Path, models: Models) -> None:
    shorter = {**models["half"], "max_tokens": 16}
    plans = plans_of(tmp_path, [models["tone"], models["mood"], shorter])
    assert plans[0].tokenizing == plans[1].tokenizing != plans[2].tokenizing


def test_an_error_ends_the_plans_that_it_belongs_to(tmp_path: Path, models: Models) -> None:
    """One model can't be loaded any more; then the shard can't be read any more, which ends all."""
    lost = tiny.build(Recipe("gpt2", seed=3), tmp_path / "lost")
    plans = plans_of(tmp_path, [models["tone"], {"as": "lost", "name": str(lost)}, models["topic"]])
    (lost / "model.safetensors").write_bytes(b"no weights")
    parts = [part for some in SlicesLeft(plans).parts().values() for part in some]
    flows = PlanFlows(shared_steps(Steps()), plans.__getitem__, Worker("w", "here", 1, 1.0, SilentMonitor()), 3)
    taken = {own.night: result for own, result in flows(parts[0])}
    assert [isinstance(taken[night], NightscoreError) for night in range(3)] == [False, True, False]
    (tmp_path / "in" / "a.parquet").write_bytes(b"no shard")
    ((own, result),) = flows(parts[-1])
    assert own.plans == [0, 1, 2]
    assert isinstance(result, NightscoreError)
